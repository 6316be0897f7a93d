//! The task of a flow: pulls what comes out of its stages, and publishes it.

use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use coord_bus::{
    BoxFuture, BusError, Envelope, Event, Failure, Publish, Publisher, Refused, Topic, WithCauses,
};
use tokio::task::coop::{self, consume_budget};

use crate::course::{AtEnd, Course, Replacement, Shape, add};
use crate::failure::Failures;
use crate::options::FlowOptions;
use crate::origin::{HOPS, Origin, Original};
use crate::report::FlowState;
use crate::sinks::{Pick, Sinks};
use crate::stage::{Failed, Half, Handed, Label, Opening, Part, Pulled, Stage, Way};

/// The most items that a flow in a loop holds while its sink is full: as many as a topic does by
/// default.
const LOOP_HELD_MAX: usize = 1024;

/// The most that is taken before others are let run, by what needs not wait for its source.
pub(crate) const AT_ONCE_MAX: usize = 128;

/// A flow, whatever its types.
pub(crate) trait Run: Send {
    /// From where to where it goes, without its sources.
    fn shape(&mut self) -> Shape;

    /// Opens its topics. Those that it will adopt it does not subscribe to.
    fn open(&mut self, opening: &mut Opening<'_>, options: &FlowOptions) -> Result<(), BusError>;

    /// Adopts the subscribers of the flow that it replaces, and what waits there for its partner. How
    /// much of that it cannot use.
    fn adopt(&mut self, handed: Vec<Handed>, halves: Vec<Half>) -> u64;

    /// Runs it to its end, or until another takes its place.
    fn run(self: Box<Self>, trip: Trip) -> BoxFuture<'static, Ended>;
}

/// What a flow is given to run.
pub(crate) struct Trip {
    pub(crate) course: Arc<Course>,
    pub(crate) options: FlowOptions,
    pub(crate) failures: Failures,
}

/// How a flow ended.
pub(crate) enum Ended {
    Over(FlowState),
    /// This one goes on.
    Replaced(Box<dyn Run>, FlowOptions),
}

/// Runs a flow, and those that take its place.
pub(crate) async fn run(mut flow: Box<dyn Run>, mut trip: Trip) {
    let (course, failures) = (Arc::clone(&trip.course), trip.failures.clone());
    loop {
        match flow.run(trip).await {
            Ended::Over(state) => return course.end(state),
            Ended::Replaced(next, options) => {
                flow = next;
                trip = Trip {
                    course: Arc::clone(&course),
                    options,
                    failures: failures.clone(),
                };
            }
        }
    }
}

/// The stages of a flow, and where it ends.
pub(crate) struct Flow<S: Stage> {
    stages: S,
    sinks: Sinks<S::Out>,
}

impl<S: Stage> Flow<S> {
    pub(crate) fn new(stages: S, sinks: Sinks<S::Out>) -> Self {
        Self { stages, sinks }
    }
}

impl<S: Stage<Out: Event>> Run for Flow<S> {
    fn shape(&mut self) -> Shape {
        let mut shape = Shape::default();
        self.stages.visit(&mut |part| {
            if let Part::Source(source) = part {
                shape.from.push(source.topic().to_owned());
                shape.dead_letters.push(source.dead_letter_topic());
                shape.faults.push(source.fault_topic());
            }
        });
        let to = self.sinks.topics.iter().map(Topic::name);
        shape.to = to.map(str::to_owned).collect();
        shape
    }

    fn open(&mut self, opening: &mut Opening<'_>, options: &FlowOptions) -> Result<(), BusError> {
        // Where an item may be there when its source has gone on.
        opening.keep = S::HOLDS || options.timed || options.hops_max.is_some();
        self.sinks.open(opening.bus)?;
        let mut opened = Ok(());
        self.stages.visit(&mut |part| {
            if let (Part::Source(source), true) = (part, opened.is_ok()) {
                opened = source.open(opening);
            }
        });
        opened
    }

    fn adopt(&mut self, mut handed: Vec<Handed>, mut halves: Vec<Half>) -> u64 {
        self.stages.visit(&mut |part| match part {
            Part::Source(source) => source.adopt(&mut handed),
            Part::Pair(pair) => pair.adopt(&mut halves),
        });
        halves.iter().map(|half| half.items).sum()
    }

    fn run(self: Box<Self>, trip: Trip) -> BoxFuture<'static, Ended> {
        let Trip {
            course,
            options,
            failures,
        } = trip;
        let Flow { stages, sinks } = *self;
        let way = Way::new(course, options.retry, failures);
        let hand = Hand {
            stages,
            way,
            options,
            pick: sinks.pick,
            sinks: sinks.publishers.len(),
            waiting: VecDeque::new(),
            ended: None,
        };
        let driver = Driver {
            hand,
            sinks: sinks.publishers,
        };
        Box::pin(driver.run())
    }
}

/// A flow on its way.
struct Driver<S: Stage> {
    hand: Hand<S>,
    sinks: Vec<Publisher<S::Out>>,
}

impl<S: Stage<Out: Event>> Driver<S> {
    async fn run(self) -> Ended {
        let (mut hand, sinks) = (self.hand, self.sinks);
        loop {
            let mut then = match poll_fn(|cx| hand.turn(&sinks, cx)).await {
                Turn::Waits(publishing, origin) => hand.publish(publishing, origin).await,
                Turn::Refused(refused, origin) => hand.refused(&refused, origin).await,
                Turn::Several => ControlFlow::Continue(()),
                Turn::Failed(failed) => hand.fail(failed).await,
                Turn::End => match hand.way.course.at_end(hand.stages.is_closed()) {
                    AtEnd::Over(state) => {
                        hand.part();
                        return Ended::Over(state);
                    }
                    AtEnd::Switch(replacement) => return hand.switch(replacement),
                    AtEnd::GoOn => {
                        consume_budget().await;
                        ControlFlow::Continue(())
                    }
                },
            };
            while then.is_continue()
                && hand.ended.is_none()
                && let Some(ready) = hand.waiting.pop_front()
            {
                let publishing = sinks[ready.to].publish_with(ready.envelope);
                then = hand.publish(publishing, ready.origin).await;
            }
            if let Some(state) = then.break_value().or(hand.ended) {
                return Ended::Over(state);
            }
        }
    }
}

/// What a flow has in hand, and what it does with it that needs not wait for its sinks.
struct Hand<S: Stage> {
    stages: S,
    way: Way,
    options: FlowOptions,
    pick: Pick<S::Out>,
    /// How many there are.
    sinks: usize,
    /// What is to be published next: the clones of one item; in a loop, what has come meanwhile.
    waiting: VecDeque<Ready<S::Out>>,
    /// What has failed meanwhile is its end.
    ended: Option<FlowState>,
}

/// What is to be published, to which of the sinks.
struct Ready<U> {
    to: usize,
    envelope: Envelope<U>,
    origin: Origin,
}

/// What becomes of an item that has come out of the stages.
enum Next<U> {
    Publish(Ready<U>),
    /// More than one, which wait.
    Several,
    FilteredOut,
    Failed(Box<Failed>),
}

/// What has to be waited for, or seen to.
enum Turn<'a, U> {
    Waits(Publishing<'a, U>, Origin),
    Refused(Refused<Envelope<U>>, Origin),
    Several,
    Failed(Box<Failed>),
    End,
}

/// What has become of an item for which there was no room.
enum Sent<U> {
    Yes,
    Refused(Refused<Envelope<U>>),
    Failed(Box<Failed>),
    /// The flow has ended, in this way: it is left.
    GivenUp(FlowState),
}

type Publishing<'a, U> = Publish<'a, U, Envelope<U>>;

impl<S: Stage<Out: Event>> Hand<S> {
    /// Publishes what comes, as long as nothing has to be waited for.
    fn turn<'a>(
        &mut self,
        sinks: &'a [Publisher<S::Out>],
        cx: &mut Context<'_>,
    ) -> Poll<Turn<'a, S::Out>> {
        // A stage that is broken by a panic breaks nothing but itself.
        match catch_unwind(AssertUnwindSafe(|| self.publish_all(sinks, cx))) {
            Ok(turn) => turn,
            Err(panic) => Poll::Ready(Turn::Failed(self.way.caught(&*panic))),
        }
    }

    #[inline]
    fn publish_all<'a>(
        &mut self,
        sinks: &'a [Publisher<S::Out>],
        cx: &mut Context<'_>,
    ) -> Poll<Turn<'a, S::Out>> {
        loop {
            for _ in 0..AT_ONCE_MAX {
                let next = match ready!(self.pull(cx)) {
                    Pulled::Item(item, origin) => self.ready(item, origin),
                    Pulled::Failed(failed) => return Poll::Ready(Turn::Failed(failed)),
                    Pulled::End => return Poll::Ready(Turn::End),
                };
                let ready = match next {
                    Next::Publish(ready) => ready,
                    Next::FilteredOut => continue,
                    Next::Several => return Poll::Ready(Turn::Several),
                    Next::Failed(failed) => return Poll::Ready(Turn::Failed(failed)),
                };
                let origin = ready.origin;
                let mut publishing = sinks[ready.to].publish_with(ready.envelope);
                let publish = || Pin::new(&mut publishing).poll(cx);
                match self.way.watch(Some(label("to")), Some(&origin), publish) {
                    Poll::Ready(Ok(())) => self.published(&origin),
                    Poll::Ready(Err(refused)) => {
                        return Poll::Ready(Turn::Refused(refused, origin));
                    }
                    Poll::Pending => return Poll::Ready(Turn::Waits(publishing, origin)),
                }
            }
            // What needs not wait for its source lets others run, too.
            ready!(coop::poll_proceed(cx)).made_progress();
        }
    }

    /// What comes next, of the stages.
    #[inline]
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled<S::Out>> {
        loop {
            let asked = self.way.course.asked();
            match self.stages.poll_next(cx, &self.way) {
                Poll::Ready(pulled) => return Poll::Ready(pulled),
                Poll::Pending => {
                    self.way.course.sleep(cx.waker());
                    // Asked while it looked, it looks again.
                    if self.way.course.asked() == asked {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Waits for room; and meanwhile goes on with what is held, and in a loop takes more, until
    /// something fails at which the flow ends.
    async fn publish(
        &mut self,
        mut publishing: Publishing<'_, S::Out>,
        origin: Origin,
    ) -> ControlFlow<FlowState> {
        let sent = poll_fn(|cx| {
            let publish = || Pin::new(&mut publishing).poll(cx);
            let publish = || self.way.watch(Some(label("to")), Some(&origin), publish);
            match catch_unwind(AssertUnwindSafe(publish)) {
                Ok(Poll::Ready(Ok(()))) => Poll::Ready(Sent::Yes),
                Ok(Poll::Ready(Err(refused))) => Poll::Ready(Sent::Refused(refused)),
                Ok(Poll::Pending) => {
                    self.go_on(cx);
                    let ended = self.ended.map(Sent::GivenUp);
                    ended.map_or(Poll::Pending, Poll::Ready)
                }
                Err(panic) => Poll::Ready(Sent::Failed(self.way.caught(&*panic))),
            }
        });
        match sent.await {
            Sent::Yes => {
                self.published(&origin);
                ControlFlow::Continue(())
            }
            Sent::Refused(refused) => self.refused(&refused, origin).await,
            Sent::Failed(failed) => self.fail(failed).await,
            Sent::GivenUp(state) => ControlFlow::Break(state),
        }
    }

    /// Makes an item ready to be published.
    #[inline]
    fn ready(&mut self, item: S::Out, origin: Origin) -> Next<S::Out> {
        if let (Pick::Only, None) = (&self.pick, self.options.hops_max) {
            let envelope = origin.envelope(item);
            return Next::Publish(Ready {
                to: 0,
                envelope,
                origin,
            });
        }
        self.choose(item, origin)
    }

    /// The same, where it has to be looked at.
    #[inline(never)]
    fn choose(&mut self, item: S::Out, origin: Origin) -> Next<S::Out> {
        if let Some(max) = self.options.hops_max
            && origin.hops() >= max
        {
            return Next::Failed(went_round(max, origin));
        }
        let (way, counts) = (&self.way, &self.way.course.counts);
        let to = match &mut self.pick {
            Pick::Only => 0,
            Pick::One(choose) => {
                let choose = || choose(&item);
                let Some(to) = way.watch(Some(label("route")), Some(&origin), choose) else {
                    add(&counts.filtered, 1);
                    return Next::FilteredOut;
                };
                to
            }
            Pick::Each(clone) => {
                let copy = || (0..self.sinks).map(|_| clone(&item)).collect::<Vec<_>>();
                let copies = way.watch(Some(label("to_many")), Some(&origin), copy);
                match copies.len() {
                    0 => add(&counts.filtered, 1),
                    copies => add(&counts.added, copies as u64 - 1),
                }
                for (to, copy) in copies.into_iter().enumerate() {
                    let envelope = self.seal(copy, &origin);
                    let origin = origin.clone();
                    self.waiting.push_back(Ready {
                        to,
                        envelope,
                        origin,
                    });
                }
                return Next::Several;
            }
        };
        let envelope = self.seal(item, &origin);
        Next::Publish(Ready {
            to,
            envelope,
            origin,
        })
    }

    #[inline]
    fn seal(&self, item: S::Out, origin: &Origin) -> Envelope<S::Out> {
        let envelope = origin.envelope(item);
        match self.options.hops_max {
            None => envelope,
            Some(_) => envelope.header(HOPS, (origin.hops() + 1).to_string()),
        }
    }

    /// Goes on with what is held while a sink is full. A loop would stand still if nothing were
    /// taken from it.
    #[cold]
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.options.hops_max.is_none() {
            let progress = || self.stages.poll_progress(cx, &self.way);
            if S::HOLDS
                && let Err(panic) = catch_unwind(AssertUnwindSafe(progress))
            {
                self.fail_now(&self.way.caught(&*panic));
            }
            return;
        }
        for _ in 0..AT_ONCE_MAX {
            // What failed may have been its end.
            if self.ended.is_some() {
                return;
            }
            let asked = self.way.course.asked();
            let next = || match self.pull(cx) {
                Poll::Ready(Pulled::Item(item, origin)) => Some(self.ready(item, origin)),
                Poll::Ready(Pulled::Failed(failed)) => Some(Next::Failed(failed)),
                Poll::Ready(Pulled::End) | Poll::Pending => None,
            };
            match catch_unwind(AssertUnwindSafe(next)) {
                Ok(Some(Next::Publish(ready))) => self.waiting.push_back(ready),
                Ok(Some(Next::Several | Next::FilteredOut)) => {}
                Ok(Some(Next::Failed(failed))) => self.fail_now(&failed),
                Ok(None) => {
                    // Where it has come to an end that may be called off, it hears of that.
                    self.way.course.sleep(cx.waker());
                    if self.way.course.asked() == asked {
                        return;
                    }
                }
                Err(panic) => self.fail_now(&self.way.caught(&*panic)),
            }
            while self.waiting.len() > LOOP_HELD_MAX
                && let Some(ready) = self.waiting.pop_back()
            {
                self.fail_now(&is_full(ready.origin));
            }
        }
        // There is more, and others want to run too.
        cx.waker().wake_by_ref();
    }

    #[inline]
    fn published(&self, origin: &Origin) {
        add(&self.way.course.counts.published, 1);
        if self.options.timed
            && let Some(kept) = &origin.kept
        {
            self.way.course.latencies.record(kept.taken().elapsed());
        }
    }

    #[cold]
    async fn refused(
        &mut self,
        refused: &Refused<Envelope<S::Out>>,
        origin: Origin,
    ) -> ControlFlow<FlowState> {
        let message = match refused.reason.source() {
            Some(cause) => format!("{refused}: {}", WithCauses(cause)),
            None => refused.to_string(),
        };
        let failed = Failed {
            kind: "unpublished",
            ..*Failed::of(label("to"), origin, Failure::message(message), 1)
        };
        let is_closed = refused.is_closed();
        self.fail(Box::new(failed)).await?;
        match is_closed {
            true => ControlFlow::Break(FlowState::SinkClosed),
            false => ControlFlow::Continue(()),
        }
    }

    /// Sees to it, which may be to wait for room; and meanwhile goes on with what is held.
    #[cold]
    async fn fail(&mut self, failed: Box<Failed>) -> ControlFlow<FlowState> {
        if self.options.hops_max.is_some() {
            self.fail_now(&failed);
            return match self.ended {
                Some(state) => ControlFlow::Break(state),
                None => ControlFlow::Continue(()),
            };
        }
        let original = self.original(&failed);
        let mut seeing = pin!(self.way.see_to(self.options.on_failure, failed, original));
        poll_fn(|cx| {
            let seen = seeing.as_mut().poll(cx);
            if seen.is_pending() {
                self.go_on(cx);
            }
            seen
        })
        .await
    }

    #[cold]
    fn fail_now(&mut self, failed: &Failed) {
        let original = self.original(failed);
        let then = self.options.on_failure;
        let then = self.way.see_to_now(then, failed, original.as_ref());
        self.ended = self.ended.or(then.break_value());
    }

    /// The event that it came from.
    fn original(&mut self, failed: &Failed) -> Option<Arc<dyn Original>> {
        let origin = failed.origin.as_ref()?;
        let mut original = origin.kept.clone();
        if original.is_none() {
            self.stages.visit(&mut |part| {
                if let Part::Source(source) = part {
                    original = original.take().or_else(|| source.original(origin));
                }
            });
        }
        original
    }

    /// Filters out what has no partner, and will have none: what waits for it, and what is on its way
    /// there where that side is not read to its end, as the other one is closed.
    fn part(&mut self) {
        let mut has_pairs = false;
        self.stages
            .visit(&mut |part| has_pairs |= matches!(part, Part::Pair(_)));
        // Without a pair nothing is held at the end, and the ledger shows it if that is not so.
        if has_pairs {
            let counts = &self.way.course.counts;
            add(&counts.filtered, counts.read().held);
        }
    }

    fn switch(mut self, replacement: Replacement) -> Ended {
        let (mut handed, mut halves) = (Vec::new(), Vec::new());
        self.stages.visit(&mut |part| match part {
            Part::Source(source) => handed.extend(source.take()),
            Part::Pair(pair) => halves.extend(pair.take()),
        });
        let mut next = replacement.run;
        let useless = next.adopt(handed, halves);
        add(&self.way.course.counts.filtered, useless);
        Ended::Replaced(next, replacement.options)
    }
}

/// The end of a flow as a stage.
fn label(kind: &'static str) -> Label {
    Label { kind, place: 0 }
}

fn went_round(hops: u32, origin: Origin) -> Box<Failed> {
    let message = format!("it has been round a loop {hops} times, the limit of the flow");
    let failed = Failed::of(
        label("to"),
        origin,
        Failure::message(message).permanent(),
        1,
    );
    Box::new(Failed {
        kind: "loop",
        ..*failed
    })
}

fn is_full(origin: Origin) -> Box<Failed> {
    let message = format!("the loop is full, and the flow holds {LOOP_HELD_MAX} items for it");
    let failed = Failed::of(label("to"), origin, Failure::message(message), 1);
    Box::new(Failed {
        kind: "loop",
        ..*failed
    })
}
