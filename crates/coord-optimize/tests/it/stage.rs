//! What the tests are made of: sources with a timetable, and consumers with moods.

use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::{self, Instant, Sleep};
use pin_project_lite::pin_project;
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt};

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Runs a test's future with time paused.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

pin_project! {
    /// Gives 0, 1, 2 and so on, each a gap after the one before became ready, whether anybody polls
    /// meanwhile or not. Not `Unpin`, and not to be polled once it has ended.
    pub(crate) struct Timetable {
        #[pin]
        sleep: Sleep,
        gaps: Vec<u64>,
        next: usize,
        ended: bool,
        #[pin]
        pinned: PhantomPinned,
    }
}

pub(crate) fn timetable(gaps: Vec<u64>) -> Timetable {
    Timetable {
        sleep: time::sleep(ms(gaps.first().copied().unwrap_or(0))),
        gaps,
        next: 0,
        ended: false,
        pinned: PhantomPinned,
    }
}

impl Stream for Timetable {
    type Item = usize;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut this = self.project();
        assert!(!*this.ended, "polled after its end");
        if *this.next == this.gaps.len() {
            *this.ended = true;
            return Poll::Ready(None);
        }
        ready!(this.sleep.as_mut().poll(cx));
        let item = *this.next;
        *this.next += 1;
        if let Some(gap) = this.gaps.get(*this.next) {
            let deadline = this.sleep.deadline() + ms(*gap);
            this.sleep.as_mut().reset(deadline);
        }
        Poll::Ready(Some(item))
    }
}

/// One thing that a consumer does before it takes the next item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    /// Works for so many milliseconds.
    Works(u64),
    /// Gives up waiting after so many milliseconds, and drops the future.
    GivesUp(u64),
}

pub(crate) fn moods() -> impl Strategy<Value = Vec<Mood>> {
    let mood = prop_oneof![
        (0..40_u64).prop_map(Mood::Works),
        (0..20_u64).prop_map(Mood::GivesUp),
    ];
    prop::collection::vec(mood, 0..40)
}

/// So many cases, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(count),
    }
}

/// Gaps between items, in milliseconds: many of them none.
pub(crate) fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![3 => Just(0), 2 => 1..5_u64, 1 => 5..60_u64];
    prop::collection::vec(gap, 1..60)
}

/// Takes all items, and tells when each came.
pub(crate) async fn consume<S: Stream + ?Sized>(
    mut stream: Pin<&mut S>,
    moods: Vec<Mood>,
) -> Vec<(Instant, S::Item)> {
    let mut items = Vec::new();
    for mood in moods {
        let next = match mood {
            Mood::Works(milliseconds) => {
                time::sleep(ms(milliseconds)).await;
                stream.next().await
            }
            Mood::GivesUp(milliseconds) => {
                match time::timeout(ms(milliseconds), stream.next()).await {
                    Ok(next) => next,
                    Err(_) => continue,
                }
            }
        };
        match next {
            Some(item) => items.push((Instant::now(), item)),
            None => return items,
        }
    }
    while let Some(item) = stream.next().await {
        items.push((Instant::now(), item));
    }
    items
}

/// The least time between two of them.
pub(crate) fn least_distance<T>(items: &[(Instant, T)]) -> Option<Duration> {
    items.windows(2).map(|pair| pair[1].0 - pair[0].0).min()
}
