//! Settings of streams that hold while somebody wants them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::vocabulary::{CLI_PARSE, PROCESS_OUTPUT, UI_UPDATE, UiUpdate};
use coord_optimize::{EventStreamOptimizer, OptimizeError, Settings, per_second};

use crate::StreamSettings;

/// A stream that patterns set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    not(all(feature = "process-monitoring", feature = "interactive-cli")),
    allow(
        dead_code,
        reason = "which of them are set depends on the patterns that are there"
    )
)]
pub(crate) enum Stream {
    /// What processes print: 100 lines or 100 ms.
    ProcessOutput,
    /// What a person types: 50 ms of silence, nothing twice in a row.
    CliParse,
    /// What a screen shows: of each component the newest, when there are ten, or after 16 ms.
    UiUpdate,
}

/// The settings of the module's streams, and how many want others.
#[derive(Clone)]
pub(crate) struct Streams {
    optimizer: EventStreamOptimizer,
    process_output: StreamSettings,
    ui_update: StreamSettings,
    wanted: Arc<Mutex<BTreeMap<Stream, usize>>>,
}

/// The settings hold until this is dropped.
pub(crate) struct Wanted {
    streams: Streams,
    wanted: Vec<Stream>,
}

impl Streams {
    pub(crate) fn new(optimizer: EventStreamOptimizer, config: &crate::CoordinationConfig) -> Self {
        Self {
            optimizer,
            process_output: config.process_output_stream,
            ui_update: config.ui_update_stream,
            wanted: Arc::default(),
        }
    }

    /// Has these streams as they are best for what they are for. How many events and how often stays
    /// as the configuration says.
    pub(crate) fn want(&self, streams: &[Stream]) -> Result<Wanted, OptimizeError> {
        let mut wanted = Wanted {
            streams: self.clone(),
            wanted: Vec::new(),
        };
        for stream in streams {
            let mut counts = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(*stream).or_default();
            if *count == 0 {
                self.set(*stream, true)?;
            }
            *count += 1;
            wanted.wanted.push(*stream);
        }
        Ok(wanted)
    }

    fn set(&self, stream: Stream, preset: bool) -> Result<(), OptimizeError> {
        match stream {
            Stream::ProcessOutput => {
                let settings = match preset {
                    true => Settings::process_output(),
                    false => Settings::new(),
                };
                let settings = paced(settings, self.process_output);
                self.optimizer.configure(&PROCESS_OUTPUT, settings)
            }
            Stream::CliParse => {
                let settings = match preset {
                    true => Settings::cli(),
                    false => Settings::new(),
                };
                self.optimizer.configure(&CLI_PARSE, settings)
            }
            Stream::UiUpdate => {
                let settings = match preset {
                    true => Settings::<UiUpdate>::ui(|update| &update.component),
                    false => Settings::new(),
                };
                let settings = paced(settings, self.ui_update);
                self.optimizer.configure(&UI_UPDATE, settings)
            }
        }
    }
}

fn paced<E>(settings: Settings<E>, config: StreamSettings) -> Settings<E> {
    let rate = config.rate_limit.map(|times| per_second(times.get()));
    settings.buffer_size(config.buffer_size).rate_limit(rate)
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let counts = &self.streams.wanted;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in &self.wanted {
            let count = counts.entry(*stream).or_default();
            *count -= 1;
            if *count == 0 {
                // What was set when the module was started is in its bounds.
                let _ = self.streams.set(*stream, false);
            }
        }
    }
}
