//! Where the journal of runs is.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordination::journal::{Journal, JournalOptions};

use super::RunsFault;
use crate::args::JournalPlace;
use crate::file::printable;

/// The directory that was named, or else `coord` in where the system has the state of programs.
fn dir(place: &JournalPlace) -> Result<PathBuf, RunsFault> {
    if let Some(dir) = &place.journal {
        return Ok(dir.clone());
    }
    // One that is not from the root is to be ignored.
    let from_root = |name| {
        let dir = env::var_os(name).map(PathBuf::from);
        dir.filter(|dir| dir.is_absolute())
    };
    let state = from_root("XDG_STATE_HOME");
    let state = state.or_else(|| Some(from_root("HOME")?.join(".local/state")));
    state
        .map(|state| state.join("coord"))
        .ok_or(RunsFault::NoPlace)
}

/// What is kept of a step is what the next one waits for, and nothing else on this thread is as urgent: output is
/// read, and times run out, a millisecond later at most.
fn options() -> JournalOptions {
    JournalOptions::new().commit_in_place()
}

/// For a run that is to be kept: makes the journal if it is not there.
pub(crate) fn open_for_run(place: &JournalPlace) -> Result<Arc<Journal>, RunsFault> {
    let journal = options().open(dir(place)?);
    journal
        .map(Arc::new)
        .map_err(|error| RunsFault::not_kept(&error))
}

/// What commands about the runs of this journal have to name it by: nothing, where it is the usual one.
pub(crate) fn journal_flag(journal: &Journal) -> String {
    flag_of(journal.dir())
}

/// The same of one that may not be there.
pub(crate) fn flag_of_place(place: &JournalPlace) -> String {
    let named = place.journal.as_deref();
    let named = named.map(|dir| dir.canonicalize().unwrap_or_else(|_| dir.to_owned()));
    named.as_deref().map_or_else(String::new, flag_of)
}

fn flag_of(dir: &Path) -> String {
    let usual = self::dir(&JournalPlace { journal: None }).ok();
    let usual = usual.and_then(|usual| usual.canonicalize().ok());
    match dir {
        dir if usual.as_deref() == Some(dir) => String::new(),
        dir => {
            let dir = dir.to_string_lossy();
            let quoted = shlex::try_quote(&dir).unwrap_or_else(|_| dir.clone());
            format!(" --journal {}", printable(&quoted))
        }
    }
}

/// The journal, which has to be there, to look at it; where it may be written to, also to write there.
pub(crate) fn open_to_look(place: &JournalPlace) -> Result<Arc<Journal>, RunsFault> {
    let journal = options().or_read_only().open(dir(place)?)?;
    Ok(Arc::new(journal))
}

/// The journal, which has to be there, and is written to.
pub(crate) fn open_there(place: &JournalPlace) -> Result<Arc<Journal>, RunsFault> {
    let journal = options().existing().open(dir(place)?)?;
    Ok(Arc::new(journal))
}

/// The journal, if it is there, as it is there: nothing is written, and nobody is waited for.
pub(super) fn open_untouched(place: &JournalPlace) -> Result<Journal, RunsFault> {
    const WAIT: Duration = Duration::from_millis(10);
    let options = JournalOptions::new().only_to_read().busy_timeout(WAIT);
    Ok(options.open(dir(place)?)?)
}
