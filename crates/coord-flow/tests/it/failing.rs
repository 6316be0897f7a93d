//! What fails costs one event, and somebody is told.

use std::sync::Arc;

use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, NOTIFICATION, Notification, Severity};
use coord_bus::{BusExt, ByteBus, Subscriber, Timestamp, Topic};
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
    let error = only(&mut errors);
    assert_eq!(
        (&*error.source, &*error.kind),
        ("flow/picky → pickier", "undecodable")
    );
    assert_eq!(error.message, "2 events before picky#3 cannot be decoded");
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
