//! What was measured while a run went on: kept beside its output, for its report.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::bus::time::sleep;
use coordination::monitor::{History, LatencyMetrics, PerformanceMonitor};
use serde::{Deserialize, Serialize};

const NAME: &str = "measured.json";
const MODE: u32 = 0o600;
/// How often it is written: so much a kill takes.
const EVERY: Duration = Duration::from_secs(30);
/// How many samples are kept of those that there are: more than a page is wide in points.
const SAMPLES_MAX: usize = 600;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measures {
    /// How it went on.
    #[serde(flatten)]
    pub(crate) history: History,
    /// How long events were under way, in all; nothing in what an earlier `coord` has written.
    #[serde(default)]
    pub(crate) latency: Vec<LatencyMetrics>,
}

/// Where it is kept.
#[derive(Debug)]
pub(crate) struct Measured {
    file: PathBuf,
}

impl Measured {
    /// What was measured of a run with this directory, whether there is any or not.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            file: dir.join(NAME),
        }
    }

    /// Writes every so often what there is, for ever.
    pub(crate) async fn keep(&self, monitor: &PerformanceMonitor) -> Infallible {
        loop {
            sleep(EVERY).await;
            // Whether it can be kept is told of the last time.
            let _ = self.write(monitor);
        }
    }

    /// Writes what there is, in the place of what was written before. Of what is too short for a
    /// chart, nothing.
    pub(crate) fn write(&self, monitor: &PerformanceMonitor) -> io::Result<()> {
        let history = monitor.history().thinned(SAMPLES_MAX);
        if history.at.len() < 2 {
            return Ok(());
        }
        let measures = Measures {
            history,
            latency: monitor.performance_metrics().latencies,
        };
        let new = self.file.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        options
            .open(&new)?
            .write_all(&serde_json::to_vec(&measures)?)?;
        fs::rename(new, &self.file)
    }

    /// What was written last; nothing where that was never, or is damaged.
    pub(crate) fn read(&self) -> io::Result<Option<Measures>> {
        match fs::read(&self.file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
