//! A handler that passes events on to a topic that is full: it waits like whoever else publishes,
//! but neither for itself nor for ever.

use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{
    Bus, BusExt, ByteBus, Delivery, Failure, Handler, HandlerOptions, LocalBus, Refused, Topic,
};

const IN: Topic<u64> = Topic::new("in").capacity(4);
const OUT: Topic<u64> = Topic::new("out").capacity(4);
const LONG: Duration = Duration::from_secs(3600);

/// A handler that passes each event on, and is tried once.
fn pass_on(from: (&dyn Bus, &Topic<u64>), to: (&dyn Bus, &Topic<u64>)) -> Handler {
    let publisher = to.0.publisher(to.1).expect("it is open");
    let handle = move |number: Delivery<u64>| {
        let publisher = publisher.clone();
        async move { publisher.publish(*number).await.map_err(Failure::from) }
    };
    let options = HandlerOptions::new().max_attempts(1);
    from.0
        .on_with(from.1, &options, handle)
        .expect("it is open")
}

/// Passes 100 events on to a subscriber that pauses for 10 s.
async fn to_one_that_pauses(from: &dyn Bus, to: &dyn Bus, topic: &Topic<u64>) {
    let mut received = to.subscribe(topic).expect("it is open");
    let handler = pass_on((from, &IN), (to, topic));
    let reading = async {
        for expected in 0..100 {
            if expected == 50 {
                time::sleep(Duration::from_secs(10)).await;
            }
            let number = time::timeout(LONG, received.recv()).await;
            let number = number.expect("it comes").map(|number| *number);
            assert_eq!(number, Some(expected));
        }
    };
    let publishing = async {
        let publisher = from.publisher(&IN).expect("it is open");
        for number in 0..100 {
            publisher.publish(number).await.expect("it is open");
        }
    };
    tokio::join!(reading, publishing);
    let report = handler.drain(LONG).await;
    assert_eq!((report.handled, report.retried, report.dead), (100, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_for_a_subscriber_that_pauses() {
    let bus = LocalBus::new();
    to_one_that_pauses(&bus, &bus, &OUT).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_over_a_bus_of_bytes() {
    let bus = ByteBus::new();
    to_one_that_pauses(&bus, &bus, &OUT).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_for_the_topic_of_the_same_name_on_another_bus() {
    to_one_that_pauses(&LocalBus::new(), &LocalBus::new(), &IN).await;
}

/// What became of the first event that is dead, and when.
async fn first_letter(bus: &dyn Bus, topic: &Topic<u64>) -> (Vec<String>, Duration) {
    let begin = Instant::now();
    let mut letters = bus.subscribe(&topic.dead_letters()).expect("it is open");
    let letter = time::timeout(LONG, letters.recv()).await;
    let letter = letter.expect("it does not hang").expect("it is open");
    (letter.error.clone(), begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_handler_around_a_ring_with_a_plain_task_is_told_of_it_and_the_ring_goes_on() {
    let bus = LocalBus::new();
    let (mut out, back) = (bus.subscribe(&OUT).unwrap(), bus.publisher(&IN).unwrap());
    let first = bus.publisher(&IN).unwrap();
    let _around = tokio::spawn(async move {
        while let Some(number) = out.recv().await.map(|number| *number) {
            // Two for one: it fills up.
            for _ in 0..2 {
                back.publish(number + 1).await.expect("it is open");
            }
        }
    });
    let _handler = pass_on((&bus, &IN), (&bus, &OUT));
    first.publish(0).await.unwrap();
    let (error, took) = first_letter(&bus, &IN).await;
    assert_eq!(took, Duration::from_secs(30));
    assert!(error[1].contains("nothing for 30s"), "{error:?}");
    assert!(
        error[1].contains("`in`") && error[1].contains("ring"),
        "{error:?}"
    );
    // Each that is dead makes room for the next.
    time::sleep(Duration::from_secs(60)).await;
    assert!(bus.publisher(&OUT).unwrap().stats().published > 10);
}

#[tokio::test(start_paused = true)]
async fn handlers_around_a_ring_are_refused_at_once_and_told_why() {
    let bus = LocalBus::new();
    let _there = pass_on((&bus, &IN), (&bus, &OUT));
    let publisher = bus.publisher(&IN).unwrap();
    let back = publisher.clone();
    let twice = move |number: Delivery<u64>| {
        let back = back.clone();
        async move {
            back.publish(*number).await?;
            back.publish(*number).await?;
            Ok::<_, Failure>(())
        }
    };
    let options = HandlerOptions::new().max_attempts(1);
    let _back = bus.on_with(&OUT, &options, twice).unwrap();
    publisher.publish(0).await.unwrap();
    let begin = Instant::now();
    while bus.publisher(&IN).unwrap().stats().published < 1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO, "nothing waits");
    let letters = [&IN, &OUT].map(|topic| bus.subscribe(&topic.dead_letters()).unwrap());
    let errors = letters.map(|mut letters| letters.try_recv().map(|letter| letter.error.clone()));
    let error = errors.into_iter().find_map(Result::ok).unwrap();
    assert!(error[1].contains("ring"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_hears_at_once_that_the_topic_is_closed() {
    let bus = LocalBus::new();
    let _stuck = bus.subscribe(&OUT).unwrap();
    let _handler = pass_on((&bus, &IN), (&bus, &OUT));
    let publisher = bus.publisher(&IN).unwrap();
    for number in 0..6 {
        publisher.publish(number).await.unwrap();
    }
    time::sleep(Duration::from_secs(5)).await;
    bus.publisher(&OUT).unwrap().close();
    let (error, took) = first_letter(&bus, &IN).await;
    assert_eq!((&*error[1], took), ("the topic is closed", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_though_its_handler_waits_for_room() {
    let bus = LocalBus::new();
    let mut out = bus.subscribe(&OUT).unwrap();
    let handler = pass_on((&bus, &IN), (&bus, &OUT));
    let publisher = bus.publisher(&IN).unwrap();
    for number in 0..6 {
        publisher.publish(number).await.unwrap();
    }
    let begin = Instant::now();
    let report = handler.drain(Duration::from_secs(5)).await;
    assert_eq!((report.handled, report.is_over), (4, false));
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    // What it waited with was not published, and holds up nobody.
    let full: Result<(), Refused<u64>> = bus.publisher(&OUT).unwrap().try_publish(7);
    assert!(full.unwrap_err().is_full());
    for expected in 0..4 {
        assert_eq!(out.try_recv().map(|number| *number).ok(), Some(expected));
    }
    bus.publisher(&OUT).unwrap().try_publish(7).unwrap();
    assert_eq!(*out.recv().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_for_as_long_as_it_takes_where_the_subscriber_gets_on() {
    let bus = LocalBus::new();
    let mut out = bus.subscribe(&OUT).unwrap();
    let options = HandlerOptions::new().max_attempts(1).concurrency(4);
    let forward = bus.publisher(&OUT).unwrap();
    let handle = move |number: Delivery<u64>| {
        let forward = forward.clone();
        async move { forward.publish(*number).await.map_err(Failure::from) }
    };
    let handler = bus.on_with(&IN, &options, handle).unwrap();
    let publisher = bus.publisher(&IN).unwrap();
    let publishing = async {
        for number in 0..12 {
            publisher.publish(number).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..12 {
            // The last of those who wait has its turn after 80 s.
            time::sleep(Duration::from_secs(20)).await;
            time::timeout(LONG, out.recv()).await.unwrap();
        }
    };
    tokio::join!(publishing, reading);
    let report = handler.drain(LONG).await;
    assert_eq!((report.handled, report.dead), (12, 0));
}

/// Of many that publish there, at the pace of one that takes an event each 7 ms.
#[tokio::test(start_paused = true)]
async fn a_handler_waits_over_a_bus_of_bytes_as_long_as_its_subscriber_gets_on() {
    let bus = ByteBus::new();
    let mut received = bus.subscribe(&OUT).unwrap();
    let reading = tokio::spawn(async move {
        let mut of_handler = 0;
        loop {
            time::sleep(Duration::from_millis(7)).await;
            match received.recv().await {
                Some(number) if *number < 1_000 => of_handler += 1,
                Some(_) => {}
                None => return of_handler,
            }
        }
    });
    let publishing = (0..8).map(|_| {
        let publisher = bus.publisher(&OUT).unwrap();
        tokio::spawn(async move { while publisher.publish(1_000).await.is_ok() {} })
    });
    let publishing: Vec<_> = publishing.collect();
    time::sleep(Duration::from_secs(1)).await;
    let handler = pass_on((&bus, &IN), (&bus, &OUT));
    bus.publisher(&IN).unwrap().publish(1).await.unwrap();
    time::sleep(Duration::from_secs(100)).await;
    assert_eq!(handler.report().dead, 0);
    for publishing in publishing {
        publishing.abort();
    }
    assert_eq!(handler.drain(LONG).await.handled, 1);
    bus.close();
    assert_eq!(reading.await.unwrap(), 1);
}

/// A publish that has waited within a handler, and goes on in a task of its own.
#[tokio::test(start_paused = true)]
async fn who_waits_no_longer_within_a_handler_is_in_nobodys_way() {
    let bus = LocalBus::new();
    let (a, b) = (Topic::<u64>::new("a"), Topic::<u64>::new("b"));
    let (a, b) = (a.capacity(2), b.capacity(2));
    // Both are full, of a subscriber that pauses.
    let mut of_a = bus.subscribe(&a).unwrap();
    let mut of_b = bus.subscribe(&b).unwrap();
    let to_b = bus.publisher(&b).unwrap();
    to_b.publish(0).await.unwrap();
    to_b.publish(0).await.unwrap();
    let moves = bus.on(&a, move |number: Delivery<u64>| {
        let to_b = to_b.clone();
        async move {
            let mut publishing = Box::pin(async move { to_b.publish(*number).await });
            if time::timeout(Duration::from_millis(10), publishing.as_mut())
                .await
                .is_err()
            {
                tokio::spawn(publishing);
            }
            Ok::<_, Failure>(())
        }
    });
    let _moves = moves.unwrap();
    let publisher = bus.publisher(&a).unwrap();
    let publishing = tokio::spawn(async move {
        for number in 0..8 {
            publisher.publish(number).await.unwrap();
        }
    });
    time::sleep(Duration::from_secs(1)).await;
    // Who handles an event of `b` waits for room in `a`, and for nobody who handles one of `a`.
    let event = of_b.recv().await.unwrap().meta().cause();
    let back = bus.publisher(&a).unwrap();
    let sending_back = tokio::spawn(event.run(async move { back.publish(100).await }));
    time::sleep(Duration::from_secs(1)).await;
    let reading = tokio::spawn(async move {
        let mut of_a = std::pin::pin!(async move { while of_a.recv().await.is_some() {} });
        let mut of_b = std::pin::pin!(async move { while of_b.recv().await.is_some() {} });
        tokio::join!(of_a.as_mut(), of_b.as_mut());
    });
    let sent = time::timeout(LONG, sending_back).await.unwrap().unwrap();
    assert!(sent.is_ok(), "{sent:?}");
    publishing.await.unwrap();
    reading.abort();
}
