//! What becomes of the events of topics, told at intervals: the task of
//! [`EventStreamOptimizer::report_every`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Publisher;
use coord_bus::time::{self, Clock, Instant};
use coord_bus::vocabulary::{StreamFigures, StreamReport};

use crate::{EventStreamOptimizer, Ledger, StreamStats};

/// The most topics that one report tells of: those that received most.
pub const MAX_REPORTED: usize = 256;

/// Tells of what has moved since this was called.
pub(crate) fn tell(
    optimizer: EventStreamOptimizer,
    reports: Publisher<StreamReport>,
    interval: Duration,
    clock: Arc<dyn Clock>,
) -> impl Future<Output = ()> + Send {
    let (mut since, mut before) = (Instant::now(), optimizer.statistics());
    async move {
        loop {
            time::sleep(interval).await;
            let (now, stats) = (Instant::now(), optimizer.statistics());
            let (streams, unlisted) = moved(&before, &stats);
            if streams.is_empty() {
                continue;
            }
            let report = StreamReport {
                at: clock.now(),
                measured: now - since,
                streams,
                unlisted,
            };
            match reports.try_publish(report) {
                Ok(()) => (since, before) = (now, stats),
                Err(refused) if refused.is_closed() => return,
                // The next one is of this time, too.
                Err(_) => {}
            }
        }
    }
}

/// The topics of whose events something became, and how many more there are.
fn moved(before: &[StreamStats], now: &[StreamStats]) -> (Vec<StreamFigures>, usize) {
    let before: BTreeMap<&str, &Ledger> = before
        .iter()
        .map(|stream| (stream.topic.as_str(), &stream.ledger))
        .collect();
    let figures = now.iter().filter_map(|stream| {
        let before = before.get(stream.topic.as_str());
        let before = before.map_or_else(Ledger::default, |before| **before);
        (before != stream.ledger).then(|| since(&before, stream))
    });
    let mut figures: Vec<_> = figures.collect();
    let unlisted = figures.len().saturating_sub(MAX_REPORTED);
    if unlisted > 0 {
        figures.sort_by_key(|stream| Reverse(stream.received));
        figures.truncate(MAX_REPORTED);
        figures.sort_by(|one, other| one.stream.cmp(&other.stream));
    }
    (figures, unlisted)
}

fn since(before: &Ledger, now: &StreamStats) -> StreamFigures {
    let StreamStats { topic, ledger } = now;
    StreamFigures {
        stream: topic.clone(),
        received: ledger.received - before.received,
        given_out: ledger.given_out - before.given_out,
        merged: ledger.merged - before.merged,
        dropped: ledger.dropped.named_since(&before.dropped),
        held_before: before.held,
        held: ledger.held,
    }
}
