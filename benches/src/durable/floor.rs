//! The least that a run of ten steps that are kept can cost: its start and each step, one after the
//! other, in a bare file whose syncs are shared by whoever waits.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::journal::BareFile;
use crate::runtime;

/// What a record has in bytes.
const BYTES: usize = 150;

pub(super) fn syncs(dir: &Path, runs: usize, at_once: usize) -> Duration {
    let file = Arc::new(BareFile::create(&dir.join("file")));
    runtime(2).block_on(async {
        let mut writers = JoinSet::new();
        let start = Instant::now();
        for writer in 0..at_once {
            let file = Arc::clone(&file);
            writers.spawn(async move {
                for _ in (writer..runs).step_by(at_once) {
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
