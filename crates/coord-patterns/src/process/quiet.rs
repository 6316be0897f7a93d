//! Runs a process for its exit code alone: nothing of it is published.

use std::io;
use std::sync::Arc;

use coord_bus::CancellationToken;
use coord_bus::vocabulary::Exit;
use tokio::try_join;

use super::group::Group;
use super::groups::Groups;
use super::line_reader::LineReader;
use super::lines::plain;
use super::pipe::Pipe;
use super::secrets::Masking;
use super::{ProcessError, ProcessSpec};

/// Runs a process to its end; how it ended, and the last line with anything in it, of standard
/// error if there is one, else of standard output.
///
/// # Cancel safety
///
/// Dropped before it is done, the process group is killed with SIGKILL, at once.
pub(super) async fn run(
    spec: &ProcessSpec,
    groups: &Arc<Groups>,
) -> Result<(Exit, Option<String>), ProcessError> {
    let started = Group::start(spec, groups).await;
    let (mut group, [stdout, stderr]) =
        started.map_err(|error| ProcessError::not_started(spec, error))?;
    let closed = CancellationToken::new();
    let ending = async {
        group.leader_exited().await?;
        let exit = group.close().await;
        closed.cancel();
        exit
    };
    let ran = try_join!(
        ending,
        last_line(spec, stdout, &closed),
        last_line(spec, stderr, &closed)
    );
    let (exit, stdout, stderr) = ran.map_err(|error| ProcessError::lost(&spec.name, error))?;
    Ok((exit, stderr.or(stdout)))
}

async fn last_line(
    spec: &ProcessSpec,
    pipe: Pipe,
    closed: &CancellationToken,
) -> io::Result<Option<String>> {
    let mut masking = Masking::new(&spec.secrets);
    let mut last = None;
    let mut lines = LineReader::new(pipe);
    while let Some(line) = lines.next(closed).await? {
        let plain = plain(&masking.mask(line).text);
        if !plain.trim().is_empty() {
            last = Some(plain);
        }
    }
    Ok(last)
}
