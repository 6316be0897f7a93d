//! What fails costs one event, and somebody is told.

use std::sync::Arc;

use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, NOTIFICATION, Notification, Severity};
use coord_bus::{BusExt, ByteBus, Failure, Subscriber, Timestamp, Topic};
use coord_flow::{EventChoreographer, EventFlow, FlowState};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, idle, publish, ready};

fn only(errors: &mut Subscriber<ErrorDetected>) -> ErrorDetected {
    let mut errors = ready(errors);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_one_event_and_is_told() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| {
            assert_ne!(*n, 2, "two is too much");
            *n
        })
        .to(&TENFOLD)
        .named("fragile");
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 2, 3]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut copies), [1, 3]);
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.published, stats.failed), (3, 2, 1));
    assert_eq!(report.flows[0].state, FlowState::Drained);
    let error = only(&mut errors);
    assert_eq!((&*error.source, &*error.kind), ("flow/fragile", "panic"));
    assert!(
        error.message.contains("two is too much"),
        "{}",
        error.message
    );
    assert!(
        error.message.ends_with(", in stage 1 (map), at numbers#2"),
        "{}",
        error.message
    );
    assert_eq!(
        (error.severity, error.at),
        (Severity::Error, Timestamp::UNIX_EPOCH)
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_fed_by_what_is_no_flow_but_writes_errors_does_not_tell_of_its_own() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let broken = EventFlow::from(&NOTIFICATION)
        .map(|_| panic!("always"))
        .to(&NUMBERS);
    let broken = broken.named("broken");
    stage.choreographer.add_event_flow(broken).unwrap();
    let notify = async || {
        let notification = Notification {
            at: Timestamp::UNIX_EPOCH,
            severity: Severity::Info,
            title: "test".to_owned(),
            message: "test".to_owned(),
        };
        let notifications = stage.bus.publisher(&NOTIFICATION).unwrap();
        notifications.publish(notification).await.unwrap();
    };
    notify().await;
    idle().await;
    assert_eq!(only(&mut errors).source, "flow/broken");
    stage.choreographer.errors_reach(NOTIFICATION.name());
    notify().await;
    idle().await;
    assert!(ready(&mut errors).is_empty());
    assert_eq!(stage.flow().stats.failed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flow_fed_by_the_errors_does_not_tell_of_its_own() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let to_person = EventFlow::from(&ERROR_DETECTED)
        .map(|error| Notification {
            at: error.at,
            severity: error.severity,
            title: error.source.clone(),
            message: error.message.clone(),
        })
        .to(&NOTIFICATION);
    stage.choreographer.add_event_flow(to_person).unwrap();
    let broken = EventFlow::from(&NOTIFICATION)
        .map(|_| panic!("always"))
        .to(&NUMBERS);
    stage
        .choreographer
        .add_event_flow(broken.named("broken"))
        .unwrap();
    let error = ErrorDetected {
        source: "test".to_owned(),
        kind: "test".to_owned(),
        message: "test".to_owned(),
        severity: Severity::Info,
        at: Timestamp::UNIX_EPOCH,
    };
    stage
        .bus
        .publisher(&ERROR_DETECTED)
        .unwrap()
        .publish(error.clone())
        .await
        .unwrap();
    // Had it told, this would never be idle.
    idle().await;
    assert_eq!(only(&mut errors), error);
    let report = stage
        .choreographer
        .remove_event_flow("broken", LONG)
        .await
        .unwrap();
    assert_eq!((report.stats.received, report.stats.failed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flow_tells_of_its_failures_as_long_as_the_errors_do_not_feed_it() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let broken = EventFlow::from(&NUMBERS)
        .map(|_| panic!("always"))
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(broken).unwrap();
    let counting = || {
        EventFlow::from(&ERROR_DETECTED)
            .map(|_| 1)
            .to(&NUMBERS)
            .named("feeding")
    };
    let other = NUMBERS.with_name("other");
    let elsewhere = EventFlow::from(&other).to(&NUMBERS).named("feeding");
    let publisher = stage.publisher();
    let mut failures = async || {
        publish(&publisher, [1]).await;
        idle().await;
        ready(&mut errors).len()
    };
    assert_eq!(failures().await, 1);
    stage.choreographer.add_event_flow(counting()).unwrap();
    assert_eq!(failures().await, 0);
    let replaced = stage.choreographer.replace_event_flow(elsewhere, LONG);
    replaced.await.unwrap();
    assert_eq!(failures().await, 1);
    let replaced = stage.choreographer.replace_event_flow(counting(), LONG);
    replaced.await.unwrap();
    assert_eq!(failures().await, 0);
    let removed = stage.choreographer.remove_event_flow("feeding", LONG);
    removed.await.unwrap();
    assert_eq!(failures().await, 1);
}

/// A number that only arrives when it is even, and is only sent when it is not 13.
#[derive(Clone, Debug, PartialEq)]
struct Picky(u64);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 13 {
            return Err(ser::Error::custom("unlucky"));
        }
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number % 2 == 1 {
            return Err(de::Error::custom("odd"));
        }
        Ok(Self(number))
    }
}

const PICKY: Topic<Picky> = Topic::new("picky");
const PICKIER: Topic<Picky> = Topic::new("pickier");

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_decoded_has_failed() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    choreographer
        .add_event_flow(EventFlow::from(&PICKY).to(&PICKIER))
        .unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut copies = bus.subscribe(&PICKIER).unwrap();
    let publisher = bus.publisher(&PICKY).unwrap();
    for number in [1, 3, 4] {
        publisher.publish(Picky(number)).await.unwrap();
    }
    let report = choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.published, stats.failed), (3, 1, 2));
    assert_eq!(ready(&mut copies), [Picky(4)]);
    idle().await;
    for sequence in [2, 3] {
        let error = errors.try_recv().unwrap();
        assert_eq!(
            (&*error.source, &*error.kind),
            ("flow/picky → pickier", "undecodable")
        );
        let told = format!("an event before picky#{sequence} cannot be decoded");
        assert_eq!(error.message, told);
    }
    assert!(errors.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_decoded_it_is_told_without_an_event_that_can() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    choreographer
        .add_event_flow(EventFlow::from(&PICKY).to(&PICKIER))
        .unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let publisher = bus.publisher(&PICKY).unwrap();
    for number in [1, 3] {
        publisher.publish(Picky(number)).await.unwrap();
        idle().await;
    }
    let flow = &choreographer.event_flows()[0];
    assert_eq!((flow.stats.received, flow.stats.failed), (2, 2));
    assert_eq!((flow.left, flow.stats.lost), (0, 0));
    for sequence in [2, 3] {
        let error = errors.try_recv().unwrap();
        let told = format!("an event before picky#{sequence} cannot be decoded");
        assert_eq!(error.message, told);
    }
    // What comes then tells of no more than came since.
    for number in [5, 7, 8] {
        publisher.publish(Picky(number)).await.unwrap();
    }
    let report = choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.published, stats.failed), (5, 1, 4));
    assert_eq!(report.flows[0].left, 0);
    assert!(stats.is_balanced(), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_of_what_a_topic_retains_is_not_the_flows() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let kept = PICKY.retain(5);
    let publisher = bus.publisher(&kept).unwrap();
    publisher.publish(Picky(1)).await.unwrap();
    idle().await;
    choreographer
        .add_event_flow(EventFlow::from(&kept).to(&PICKIER))
        .unwrap();
    for number in [3, 4] {
        publisher.publish(Picky(number)).await.unwrap();
    }
    let report = choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.published, stats.failed), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_encoded_has_failed_and_the_flow_goes_on() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| Picky(*n))
        .to(&PICKY)
        .named("picky");
    choreographer.add_event_flow(flow).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut copies = bus.subscribe(&PICKY).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), [12, 13, 14]).await;
    let report = choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.published, stats.failed), (3, 2, 1));
    assert_eq!(ready(&mut copies), [Picky(12), Picky(14)]);
    idle().await;
    let error = only(&mut errors);
    assert_eq!(error.kind, "unpublished");
    assert!(
        error.message.ends_with("could not be encoded: unlucky"),
        "{}",
        error.message
    );
}

/// A number that cannot stand being 13: not being cloned, and not being sent. Each time it arrives it
/// is one more.
#[derive(Debug, PartialEq)]
struct Brittle(u64);

impl Brittle {
    fn touch(&self) -> u64 {
        assert_ne!(self.0, 13, "broken");
        self.0
    }
}

impl Clone for Brittle {
    fn clone(&self) -> Self {
        Self(self.touch())
    }
}

impl Serialize for Brittle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.touch())
    }
}

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(u64::deserialize(deserializer)? + 1))
    }
}

const BRITTLE: Topic<Brittle> = Topic::new("brittle");
const MORE_BRITTLE: Topic<Brittle> = Topic::new("more-brittle");

#[tokio::test(start_paused = true)]
async fn an_item_that_panics_when_it_is_cloned_for_a_future_has_failed_and_those_behind_it_come() {
    for is_ordered in [true, false] {
        let stage = Stage::new();
        let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
        let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
        let waiting = EventFlow::from(&NUMBERS)
            .map(|n| Brittle(*n))
            .enrich(2, |brittle| async move { Ok::<_, Failure>(brittle.0) });
        let flow = match is_ordered {
            true => waiting.to(&TENFOLD),
            false => waiting.unordered().to(&TENFOLD),
        };
        let flow = flow.named("fragile");
        stage.choreographer.add_event_flow(flow).unwrap();
        publish(&stage.publisher(), [12, 13, 14]).await;
        idle().await;
        assert_eq!(ready(&mut copies), [12, 14]);
        let letter = letters.try_recv().unwrap();
        assert_eq!(*letter.event, 13);
        assert_eq!(&*letter.handler, "flow fragile, stage 2 (enrich)");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_panics_when_it_is_sent_has_failed_wherever_it_waited() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    // Two sinks, so that each waits for its turn.
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| Sent(*n))
        .to_many([&SENT, &SENT_TOO])
        .named("sending");
    choreographer.add_event_flow(flow).unwrap();
    let mut copies = bus.subscribe(&SENT).unwrap();
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), [12, 13, 14]).await;
    let report = choreographer.shutdown(LONG).await;
    let flow = &report.flows[0];
    assert_eq!((flow.state, flow.left), (FlowState::Drained, 0));
    assert_eq!(
        (flow.stats.published, flow.stats.failed, flow.stats.dead),
        (4, 2, 2)
    );
    idle().await;
    assert_eq!(ready(&mut copies), [Sent(12), Sent(14)]);
    for _ in 0..2 {
        let letter = letters.try_recv().unwrap();
        assert_eq!((*letter.event, &*letter.handler), (13, "flow sending, to"));
    }
}

/// A number that can be cloned, and not be sent, when it is 13.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Sent(u64);

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 13, "broken");
        self.0.serialize(serializer)
    }
}

const SENT: Topic<Sent> = Topic::new("sent");
const SENT_TOO: Topic<Sent> = Topic::new("sent-too");

#[tokio::test(start_paused = true)]
async fn an_event_that_panics_when_it_is_told_of_has_failed_and_the_flow_goes_on() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let flow = EventFlow::from(&BRITTLE)
        .map(|brittle| {
            assert!(brittle.0 < 13, "too much");
            Brittle(brittle.0)
        })
        .to(&MORE_BRITTLE);
    choreographer.add_event_flow(flow).unwrap();
    let _faults = bus.subscribe(&BRITTLE.faults()).unwrap();
    let mut letters = bus.subscribe(&BRITTLE.dead_letters()).unwrap();
    let publisher = bus.publisher(&BRITTLE).unwrap();
    for number in [12, 15] {
        publisher.publish(Brittle(number)).await.unwrap();
    }
    let report = choreographer.shutdown(LONG).await;
    let flow = &report.flows[0];
    assert_eq!((flow.state, flow.left), (FlowState::Drained, 0));
    assert_eq!((flow.stats.failed, flow.stats.dead), (2, 1));
    idle().await;
    // Of the first none could be made.
    assert_eq!(letters.try_recv().unwrap().event.0, 17);
}
