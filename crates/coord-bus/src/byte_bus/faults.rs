//! Faults on the way of an event, drawn from a seed.

use std::ops::RangeToInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time;

/// What may go wrong on a [`ByteBus`](crate::ByteBus): the same faults for the same seed.
///
/// Each topic draws from a generator of its own, made of the seed and the topic's name, and draws
/// the same numbers for each event, whatever may happen. So neither the traffic of other topics nor
/// another chance changes what happens to the n-th event of a topic. No fault changes the order of
/// those that arrive. A chance is from 0 to 1: less counts as never, more as always.
///
/// A question to an endpoint meets what an event of a topic does, and its reply once more, by draws
/// of its own. Where one of them is dropped, whoever asked hears nothing until its deadline. A
/// question that arrives twice may be answered twice; whoever asked takes the first reply, and the
/// other handler is dropped where it awaits. That somebody has gone is never lost.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use coord_bus::{Bus, BusExt, ByteBus, Faults, Topic};
///
/// const NUMBERS: Topic<u64> = Topic::new("numbers");
///
/// let faults = Faults::seeded(42).drop(0.2).duplicate(0.2).delay(0.1, ..=Duration::from_millis(1));
/// let bus = ByteBus::with_faults(faults);
/// let mut numbers = bus.subscribe(&NUMBERS)?;
/// let publisher = bus.publisher(&NUMBERS)?;
/// for number in 0..100 {
///     publisher.publish(number).await?;
/// }
/// bus.close();
/// let mut received = 0;
/// while numbers.recv().await.is_some() {
///     received += 1;
/// }
/// let faults = bus.faults();
/// assert_eq!(received, 100 - faults.dropped + faults.duplicated);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Faults {
    seed: u64,
    delay: f64,
    delay_max: Duration,
    drop: f64,
    duplicate: f64,
    close_after: Option<u64>,
}

/// How many faults there have been on a bus, over all topics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Events and questions that were held up, with those behind them, and replies.
    pub delayed: u64,
    /// Events, questions and replies that did not arrive though they were accepted: by chance, or
    /// because they were on their way when a fault closed their topic. Questions of which the asker
    /// was told that are not among the latter.
    pub dropped: u64,
    /// Events, questions and replies that arrived twice.
    pub duplicated: u64,
    /// Topics that were closed.
    pub closed: u64,
}

impl Faults {
    /// No faults yet: those to be chosen will come from this seed.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            delay: 0.0,
            delay_max: Duration::ZERO,
            drop: 0.0,
            duplicate: 0.0,
            close_after: None,
        }
    }

    /// With this chance, an event waits on its way, for any time up to the one given, and those
    /// behind it wait too. Tokio's timers must be on; a paused clock governs them.
    #[must_use]
    pub fn delay(mut self, chance: f64, up_to: RangeToInclusive<Duration>) -> Self {
        self.delay = chance;
        self.delay_max = up_to.end;
        self
    }

    /// With this chance, an event does not arrive. Who published it is told that it has.
    #[must_use]
    pub fn drop(mut self, chance: f64) -> Self {
        self.drop = chance;
        self
    }

    /// With this chance, an event that is not dropped arrives twice in a row, as two events.
    #[must_use]
    pub fn duplicate(mut self, chance: f64) -> Self {
        self.duplicate = chance;
        self
    }

    /// Each topic is cut once this many of its events have made their way, those that were dropped
    /// among them: what is on its way then is lost, publishers are refused, and subscribers get
    /// what has arrived, then `None`. Zero: with its first opening.
    #[must_use]
    pub fn close_after(mut self, events: u64) -> Self {
        self.close_after = Some(events);
        self
    }

    /// What happens to the events of one topic.
    pub(super) fn on(&self, topic: &str, tally: Tally) -> Trouble {
        // FNV-1a: the same for a name on every machine, with every compiler.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let name = topic.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        Trouble {
            random: fastrand::Rng::with_seed(self.seed ^ name),
            faults: self.clone(),
            passed: 0,
            tally,
        }
    }
}

/// Where all topics of a bus count their faults.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<FaultCounts>>);

impl Tally {
    pub(super) fn lock(&self) -> MutexGuard<'_, FaultCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of one topic.
pub(super) struct Trouble {
    random: fastrand::Rng,
    faults: Faults,
    passed: u64,
    pub(super) tally: Tally,
}

/// What is to happen to one event.
pub(super) struct Fate {
    delay: Option<Duration>,
    /// 0: it is dropped.
    copies: u8,
}

impl Fate {
    /// Lets it happen, and says how many copies arrive.
    pub(super) async fn happen(self, tally: &Tally) -> u8 {
        if let Some(delay) = self.delay {
            tally.lock().delayed += 1;
            time::sleep(delay).await;
        }
        if self.copies == 0 {
            tally.lock().dropped += 1;
        }
        self.copies
    }
}

impl Trouble {
    /// What happens to the next event.
    pub(super) fn next(&mut self) -> Fate {
        self.passed += 1;
        let draws: [f64; 4] = std::array::from_fn(|_| self.random.f64());
        let [delay, share, drop, duplicate] = draws;
        let faults = &self.faults;
        Fate {
            delay: (delay < faults.delay).then(|| faults.delay_max.mul_f64(share)),
            copies: match (drop < faults.drop, duplicate < faults.duplicate) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            },
        }
    }

    /// Whether the topic is to be cut now.
    pub(super) fn is_end(&self) -> bool {
        self.faults
            .close_after
            .is_some_and(|end| self.passed >= end)
    }
}
