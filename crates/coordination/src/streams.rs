//! Settings of streams that hold while somebody wants them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coord_bus::vocabulary::{CLI_PARSE, PROCESS_OUTPUT, UI_UPDATE};
use coord_bus::{Event, Topic};
use coord_optimize::{EventStreamOptimizer, OptimizeError, Settings};

/// A screen's frame.
const FRAME: Duration = Duration::from_millis(16);

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
    /// What processes print: a full batch, or what there is after 100 ms.
    ProcessOutput,
    /// What a person types: 50 ms of silence, nothing twice in a row.
    CliParse,
    /// What a screen shows: of each component the newest, when there are ten, or after 16 ms.
    UiUpdate,
}

/// The streams that are set, with how many want them so, and how they are set back.
#[derive(Clone)]
pub(crate) struct Streams {
    optimizer: EventStreamOptimizer,
    wanted: Arc<Mutex<BTreeMap<Stream, (usize, Restore)>>>,
}

type Restore = Box<dyn FnOnce() + Send>;

/// The settings hold until this is dropped.
pub(crate) struct Wanted {
    streams: Streams,
    wanted: Vec<Stream>,
}

impl Streams {
    pub(crate) fn new(optimizer: EventStreamOptimizer) -> Self {
        let wanted = Arc::default();
        Self { optimizer, wanted }
    }

    /// Has these streams as they are best for what they are for. All else, such as how many events and how
    /// often, stays as the configuration or the program has set it.
    pub(crate) fn want(&self, streams: &[Stream]) -> Result<Wanted, OptimizeError> {
        let mut wanted = Wanted {
            streams: self.clone(),
            wanted: Vec::new(),
        };
        for stream in streams {
            let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get_mut(stream) {
                Some((count, _)) => *count += 1,
                None => drop(all.insert(*stream, (1, self.set(*stream)?))),
            }
            wanted.wanted.push(*stream);
        }
        Ok(wanted)
    }

    fn set(&self, stream: Stream) -> Result<Restore, OptimizeError> {
        match stream {
            Stream::ProcessOutput => self.change(&PROCESS_OUTPUT, |settings| {
                settings.within(Duration::from_millis(100))
            }),
            Stream::CliParse => self.change(&CLI_PARSE, |settings| {
                settings.debounce(Duration::from_millis(50)).drop_repeats()
            }),
            Stream::UiUpdate => self.change(&UI_UPDATE, |settings| {
                let settings = settings.merge_by(|update| &update.component);
                settings.enough(10).within(FRAME)
            }),
        }
    }

    /// Changes the settings of a topic; and what sets them back to those that it had.
    fn change<E: Event>(
        &self,
        topic: &Topic<E>,
        change: impl FnOnce(Settings<E>) -> Settings<E>,
    ) -> Result<Restore, OptimizeError> {
        let mut before = None;
        self.optimizer.update(topic, |settings| {
            before = Some(settings.clone());
            change(settings)
        })?;
        let (optimizer, topic) = (self.optimizer.clone(), topic.clone());
        Ok(Box::new(move || {
            if let Some(before) = before {
                // What it had is in its bounds.
                let _ = optimizer.configure(&topic, before);
            }
        }))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let all = &self.streams.wanted;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in &self.wanted {
            if let Some((count @ 2.., _)) = all.get_mut(stream) {
                *count -= 1;
            } else if let Some((_, restore)) = all.remove(stream) {
                restore();
            }
        }
    }
}
