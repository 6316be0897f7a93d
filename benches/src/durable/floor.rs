//! The least that a run of ten steps that are kept can cost: its start and each step, one after the
//! other, in a bare file whose syncs are shared by whoever waits. It is in the state that the others' logs are
//! in: a new one grows with each record, and one in use is as long as it gets, and is overwritten.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Runs;
use crate::journal::BareFile;
use crate::runtime;

/// What a record has in bytes.
const BYTES: usize = 150;

/// More than all of them need: the zeros of a file that is in use.
const IN_USE: usize = 8 * 1024 * 1024;

pub(super) fn syncs(dir: &Path, runs: Runs) -> Duration {
    let Runs { count, at_once, .. } = runs;
    let length = if runs.before > 0 { IN_USE } else { 0 };
    let file = Arc::new(BareFile::create(&dir.join("file"), length));
    runtime(2).block_on(async {
        let mut writers = JoinSet::new();
        let start = Instant::now();
        for writer in 0..at_once {
            let file = Arc::clone(&file);
            writers.spawn(async move {
                for _ in (writer..count).step_by(at_once) {
                    for _ in 0..11 {
                        file.append(vec![7; BYTES]).await;
                    }
                }
            });
        }
        writers.join_all().await;
        start.elapsed()
    })
}
