//! The bus of one process: a table of names over [`Log`](crate::Log)s.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::{
    AnyLog, Bus, BusError, Drained, Opening, Port, TopicStats, Watch, Watchers, Watching, time,
};

/// The most topics on one bus. A program that makes topics from input meets an error there, and
/// not the end of its memory.
pub const MAX_TOPICS: usize = 65_536;

/// The bus of one process. Cheap to clone; clones are the same bus.
///
/// When the last clone is dropped, topics close as the last of their publishers goes.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{BusExt, LocalBus, Topic};
///
/// const GREETING: Topic<String> = Topic::new("greeting");
///
/// let bus = LocalBus::new();
/// let mut greetings = bus.subscribe(&GREETING)?;
/// bus.publisher(&GREETING)?.publish("hello".to_owned()).await?;
/// assert_eq!(*greetings.recv().await.unwrap(), "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct LocalBus {
    topics: Arc<Topics>,
}

#[derive(Default)]
struct Topics {
    /// Boxed, as half of a table's places are empty.
    logs: RwLock<HashMap<Box<str>, Box<AnyLog>>>,
    /// The same by name, as of when they were last asked for. Topics come, and stay as long as their
    /// bus: where there are as many, it is these.
    listed: Mutex<Arc<[AnyLog]>>,
    watchers: Watchers,
    closed: AtomicBool,
    /// How many of the last events each topic keeps for who looks back.
    keep: usize,
}

impl LocalBus {
    /// A bus without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// A bus of which each topic keeps its last `keep` events, unseen by subscribers.
    #[cfg(feature = "test-util")]
    pub(crate) fn keeping(keep: usize) -> Self {
        let topics = Topics {
            keep,
            ..Topics::default()
        };
        Self {
            topics: Arc::new(topics),
        }
    }

    /// All topics, by name.
    fn logs(&self) -> Arc<[AnyLog]> {
        let logs = self
            .topics
            .logs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut listed = self
            .topics
            .listed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listed.len() != logs.len() {
            let mut by_name: Vec<_> = logs.iter().collect();
            by_name.sort_unstable_by_key(|(name, _)| *name);
            *listed = by_name
                .into_iter()
                .map(|(_, log)| AnyLog::clone(log))
                .collect();
        }
        Arc::clone(&listed)
    }
}

impl Bus for LocalBus {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let logs = self
            .topics
            .logs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(topic.name()) {
            log.check(topic)?;
            return Ok(Port::Log(AnyLog::clone(log)));
        }
        drop(logs);
        let mut logs = self
            .topics
            .logs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(topic.name()) {
            log.check(topic)?;
            return Ok(Port::Log(AnyLog::clone(log)));
        }
        // Under the lock that `close` takes after it has set this, so no topic slips through.
        if self.topics.closed.load(Ordering::Acquire) {
            return Err(BusError::Closed {
                topic: topic.name().to_owned(),
            });
        }
        if logs.len() >= MAX_TOPICS {
            return Err(BusError::TooManyTopics {
                topic: topic.name().to_owned(),
                limit: MAX_TOPICS,
            });
        }
        let log = topic.make_log_keeping(self.topics.keep);
        let port = Port::Log(log.clone());
        let attached = self.topics.watchers.opened(topic.name(), &port)?;
        logs.insert(topic.name().into(), Box::new(log));
        drop(logs);
        drop(attached);
        Ok(port)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        let logs = self
            .topics
            .logs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let topics = logs.iter();
        let topics = topics.map(|(name, log)| (&**name, Port::Log(AnyLog::clone(log))));
        self.topics.watchers.watch(watch, topics)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.logs().iter().map(AnyLog::stats).collect()
    }

    fn for_each_stats(&self, show: &mut dyn FnMut(&TopicStats)) {
        let mut stats = TopicStats::empty();
        for log in self.logs().iter() {
            log.fill_stats(&mut stats);
            show(&stats);
        }
    }

    fn close(&self) {
        self.topics.closed.store(true, Ordering::Release);
        for log in self.logs().iter() {
            log.close();
        }
        self.topics.watchers.close();
    }

    fn is_closed(&self) -> bool {
        self.topics.closed.load(Ordering::Acquire)
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        Box::pin(async move {
            self.close();
            let before = self.stats();
            let logs = self.logs();
            let all = async {
                for log in logs.iter() {
                    log.drained().await;
                }
            };
            // In time or not: the counts say it.
            let _ = time::timeout(deadline, all).await;
            Drained::between(&before, self.stats())
        })
    }
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalBus")
            .field("topics", &self.logs().len())
            .finish_non_exhaustive()
    }
}
