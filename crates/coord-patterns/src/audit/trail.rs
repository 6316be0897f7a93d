//! The pattern: the events of topics, written to a trail as they come.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use coord_bus::time;
use coord_bus::vocabulary::{AUDIT_LOG, ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{
    Backoff, BoxFuture, BusExt, CancellationToken, Event, EventLog, Failure, Meta, Overflow,
    Publisher, Topic, WithCauses,
};
use serde::{Deserialize, Serialize};

use super::redact::SECRETS;
use super::source::{Feed, Source, TopicSource, lost, said, whole};
use super::{AuditError, AuditFacts, AuditHead, AuditWriter};
use crate::pattern::{Claim, Counter, Pattern, PatternContext};

/// How many entries are appended at once: what has come while the last append was synced.
const BATCH: usize = 64;

/// How an audit trail is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditConfig {
    /// What the pattern is called; `audit-trail` by default.
    pub name: String,
    /// The stream that it writes; `audit` by default.
    pub stream: String,
    /// The names of members that are taken out; by default `password`, `passwd`, `secret`,
    /// `token`, `authorization`, `api_key`, `apikey` and `private_key`.
    pub redact: Vec<String>,
    /// What happens when the log does not keep up; by default publishers wait.
    pub overflow: Overflow,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            name: "audit-trail".to_owned(),
            stream: "audit".to_owned(),
            redact: SECRETS.map(str::to_owned).to_vec(),
            overflow: Overflow::Block,
        }
    }
}

/// Writes events to an audit trail: see the [module](super). It has `recorded`, `lost` and
/// `refused` in its statistics.
#[derive(Clone)]
pub struct AuditTrail {
    config: AuditConfig,
    log: Arc<dyn EventLog>,
    sources: Vec<Arc<dyn Source>>,
    head: Arc<Mutex<AuditHead>>,
}

impl AuditTrail {
    /// A trail of what is published to [`AUDIT_LOG`], in this log.
    pub fn new(log: Arc<dyn EventLog>, config: AuditConfig) -> Self {
        let trail = Self {
            config,
            log,
            sources: Vec::new(),
            head: Arc::default(),
        };
        trail.topic_with(&AUDIT_LOG, said)
    }

    /// And of all events of this topic: who published it, if that is known, the topic as what was
    /// done, and the whole event.
    #[must_use]
    pub fn topic<E: Event + Serialize>(self, topic: &Topic<E>) -> Self {
        self.topic_with(topic, whole)
    }

    /// And of all events of this topic, of which this says what they are. The topic, the
    /// correlation and the causation are added.
    #[must_use]
    pub fn topic_with<E: Event>(
        mut self,
        topic: &Topic<E>,
        facts: impl Fn(&E, Meta<'_>) -> AuditFacts + Send + Sync + 'static,
    ) -> Self {
        self.sources.push(Arc::new(TopicSource {
            topic: topic.clone(),
            facts: Arc::new(facts),
        }));
        self
    }

    /// How far the trail goes, as far as this has written it.
    pub fn head(&self) -> AuditHead {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.clone()
    }
}

impl Pattern for AuditTrail {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::new("stream", &self.config.stream)]
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let opened = self.sources.iter().map(|source| {
                let Self { config, .. } = self;
                source.open(context.bus(), config.overflow, &config.name)
            });
            let feeds = opened.collect::<Result<Vec<_>, _>>()?;
            let clock = Arc::clone(context.clock());
            let writer = AuditWriter::open(Arc::clone(&self.log), &self.config, clock).await?;
            let keeper = Keeper {
                name: self.config.name.clone(),
                feeds,
                writer,
                head: Arc::clone(&self.head),
                errors: context.bus().publisher(&ERROR_DETECTED)?,
                recorded: context.counter("recorded"),
                lost: context.counter("lost"),
                refused: context.counter("refused"),
                context: context.clone(),
                turn: 0,
            };
            keeper.tell_head();
            context.spawn("write", keeper.keep());
            Ok(())
        })
    }
}

struct Keeper {
    name: String,
    feeds: Vec<Box<dyn Feed>>,
    writer: AuditWriter,
    head: Arc<Mutex<AuditHead>>,
    errors: Publisher<ErrorDetected>,
    recorded: Counter,
    lost: Counter,
    refused: Counter,
    context: PatternContext,
    /// Whose turn it is to be asked first.
    turn: usize,
}

impl Keeper {
    async fn keep(mut self) {
        let token = self.context.token();
        while let Some(batch) = self.next(&token).await {
            let count = batch.len() as u64;
            if let Err(error) = self.write(batch).await {
                return self.give_up(&error);
            }
            self.recorded.add(count);
            self.tell_head();
        }
    }

    /// What has come; nothing once the pattern is stopped and all that had come is written.
    async fn next(&mut self, token: &CancellationToken) -> Option<Vec<AuditFacts>> {
        let mut stopped = std::pin::pin!(token.cancelled());
        let mut is_open = !token.is_cancelled();
        poll_fn(|context| {
            if !is_open || stopped.as_mut().poll(context).is_ready() {
                is_open = false;
                self.feeds.iter_mut().for_each(|feed| feed.close());
            }
            let mut batch = Vec::new();
            let mut ended = 0;
            let count = self.feeds.len();
            self.turn += 1;
            for offset in 0..count {
                let feed = &mut self.feeds[(self.turn + offset) % count];
                while batch.len() < BATCH {
                    match feed.poll_next(context) {
                        Poll::Ready(Some((facts, missing))) => {
                            if missing > 0 {
                                self.lost.add(missing);
                                batch.push(lost(&facts, missing));
                            }
                            batch.push(facts);
                        }
                        Poll::Ready(None) => {
                            ended += 1;
                            break;
                        }
                        Poll::Pending => break,
                    }
                }
            }
            match batch.is_empty() {
                false => Poll::Ready(Some(batch)),
                true if ended == count => Poll::Ready(None),
                true => Poll::Pending,
            }
        })
        .await
    }

    /// Writes a batch, however often that takes.
    async fn write(&mut self, batch: Vec<AuditFacts>) -> Result<(), AuditError> {
        let pauses = Backoff::exponential(Duration::from_millis(500)).max(Duration::from_secs(60));
        let mut failures = 0;
        let mut written = self.writer.append(batch).await.map(|_| ());
        while let Err(error) = written {
            if !error.may_pass() {
                return Err(error);
            }
            failures += 1;
            self.refused.add(1);
            self.context.degraded(WithCauses(&error).to_string());
            time::sleep(pauses.delay(failures)).await;
            written = self.writer.flush().await;
        }
        if failures > 0 {
            self.context.recovered();
        }
        Ok(())
    }

    /// Tells that the trail ends here. With the feeds, the hold on publishers goes.
    fn give_up(&self, error: &AuditError) {
        let message = WithCauses(error).to_string();
        self.context.failed(message.clone());
        // Nobody may wait here; the state of the pattern says it too.
        let _ = self.errors.try_publish(ErrorDetected {
            source: self.name.clone(),
            kind: "audit-trail".to_owned(),
            message,
            severity: Severity::Critical,
            at: self.context.now(),
        });
    }

    fn tell_head(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.clone_from(self.writer.head());
    }
}

impl std::fmt::Debug for AuditTrail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AuditTrail")
            .field("config", &self.config)
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}
