//! The handles over a link that somebody else wrote, and what they make of its failures.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::{
    BoxFuture, Bus, BusError, BusExt, Drained, Frame, FrameGroup, FrameSource, Ledger, Link,
    LinkError, LinkFrame, Log, Opening, Port, Refusal, SubscribeOptions, Topic, TopicStats,
    TryReceiveError, Watch, Watchers, Watching,
};

const NUMBERS: Topic<u64> = Topic::new("numbers");

/// A bus of one link.
#[derive(Default)]
pub(crate) struct Scripted(Arc<ScriptedLink>);

/// Says what it is told to say.
#[derive(Default)]
struct ScriptedLink(Mutex<Script>);

#[derive(Default)]
struct Script {
    /// What each send meets; nothing means that it fails.
    sends: VecDeque<LinkError>,
    /// What a subscriber gets; `None` in it is a wait. Nothing means that subscribing fails.
    arrivals: Option<VecDeque<Option<LinkFrame>>>,
}

impl Scripted {
    pub(crate) fn will_deliver(&self, arrivals: impl IntoIterator<Item = Option<LinkFrame>>) {
        let mut script = self.0.0.lock().expect("no test panics with it");
        script.arrivals = Some(arrivals.into_iter().collect());
    }
}

fn broken() -> LinkError {
    LinkError::Failed("the cable is cut".into())
}

impl Bus for Scripted {
    fn open(&self, _topic: &Opening<'_>) -> Result<Port, BusError> {
        Ok(Port::Link(Arc::clone(&self.0) as Arc<dyn Link>))
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        let port = Port::Link(Arc::clone(&self.0) as Arc<dyn Link>);
        Watchers::new().watch(watch, [("numbers", port)])
    }

    fn stats(&self) -> Vec<TopicStats> {
        vec![self.0.stats()]
    }

    fn close(&self) {}

    fn is_closed(&self) -> bool {
        false
    }

    fn drain(&self, _deadline: Duration) -> BoxFuture<'_, Drained> {
        Box::pin(async { Drained::default() })
    }
}

impl Link for ScriptedLink {
    fn send(&self, frame: Frame) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { self.try_send(frame) })
    }

    fn try_send(&self, _frame: Frame) -> Result<(), LinkError> {
        let mut script = self.0.lock().expect("no test panics with it");
        Err(script.sends.pop_front().unwrap_or_else(broken))
    }

    fn subscribe(
        &self,
        _options: SubscribeOptions<Frame>,
    ) -> Result<Box<dyn FrameSource>, LinkError> {
        let mut script = self.0.lock().expect("no test panics with it");
        let arrivals = script.arrivals.take();
        match arrivals {
            Some(arrivals) => Ok(Box::new(Arrivals(arrivals))),
            None => Err(broken()),
        }
    }

    fn join(&self, _group: &str) -> Result<Box<dyn FrameGroup>, LinkError> {
        Err(broken())
    }

    fn close(&self) {}

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn stats(&self) -> TopicStats {
        Log::<u64>::new("numbers", 1).stats()
    }
}

struct Arrivals(VecDeque<Option<LinkFrame>>);

impl FrameSource for Arrivals {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkFrame>> {
        match self.0.pop_front() {
            Some(Some(frame)) => Poll::Ready(Some(frame)),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    fn close(&mut self) {
        self.0.clear();
    }

    fn ledger(&self) -> Ledger {
        Ledger::default()
    }
}

pub(crate) fn arrival(payload: &str, sequence: u64, lag: u64) -> Option<LinkFrame> {
    Some(LinkFrame {
        frame: Frame {
            payload: payload.into(),
            details: None,
        },
        sequence,
        lag,
    })
}

#[tokio::test(start_paused = true)]
async fn a_failing_link_gives_the_event_back_with_its_reason() {
    let bus = Scripted::default();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let waited = publisher.publish(7).await.unwrap_err();
    let tried = publisher.try_publish(7).unwrap_err();
    for refused in [waited, tried] {
        assert!(!refused.is_full() && !refused.is_closed());
        assert_eq!(refused.event, 7);
        let Refusal::Link(source) = &refused.reason else {
            panic!("{refused}");
        };
        assert_eq!(source.to_string(), "the cable is cut");
        let text = "the event was not published to `numbers`: the link failed";
        assert_eq!(refused.to_string(), text);
        assert!(refused.source().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_full_or_closed_says_so_as_a_log_does() {
    let bus = Scripted::default();
    bus.0.0.lock().unwrap().sends = [LinkError::Full, LinkError::Closed].into();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    assert!(publisher.try_publish(7).unwrap_err().is_full());
    assert!(publisher.publish(7).await.unwrap_err().is_closed());
}

#[test]
fn a_link_that_takes_no_subscriber_is_named() {
    let bus = Scripted::default();
    let refused = bus.subscribe(&NUMBERS).unwrap_err();
    let BusError::Link { topic, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(topic, "numbers");
    let link = refused.source().unwrap();
    assert_eq!(link.source().unwrap().to_string(), "the cable is cut");
}

#[test]
fn an_in_process_topic_is_refused_also_where_the_bus_does_not_look() {
    let topic: Topic<u64> = Topic::in_process("handles");
    let refused = Scripted::default().publisher(&topic).unwrap_err();
    assert!(matches!(refused, BusError::InProcessOnly { topic, .. } if topic == "handles"));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_adds_up_until_an_event_can_tell_of_it() {
    let bus = Scripted::default();
    bus.0.0.lock().unwrap().arrivals = Some(
        [
            arrival("1", 1, 0),
            arrival("no number", 4, 2),
            None,
            arrival("", 5, 0),
            arrival("7", 7, 1),
            arrival("8", 8, 0),
            arrival("{}", 9, 0),
        ]
        .into(),
    );
    let mut numbers = bus.subscribe(&NUMBERS).unwrap();
    for (number, lag, undecodable) in [(1, 0, 0), (7, 3, 2), (8, 0, 0)] {
        let received = numbers.recv().await.unwrap();
        assert_eq!((*received, received.meta().sequence()), (number, number));
        assert_eq!((received.lag(), received.undecodable()), (lag, undecodable));
        let delivery = received.into_delivery();
        assert_eq!((delivery.lag(), delivery.undecodable()), (lag, undecodable));
    }
    assert!(numbers.recv().await.is_none());
    assert_eq!(numbers.try_recv().err(), Some(TryReceiveError::Closed));
}
