//! What a request causes, how it ends when others do, and that it may be dropped.

use coord_bus::ByteBus;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_a_responder_publishes_says_which_request_caused_it() {
    let bus = LocalBus::new();
    let audit = Topic::<u64>::new("audit");
    let mut audited = bus.subscribe(&audit).unwrap();
    let publisher = bus.publisher(&audit).unwrap();
    let _responder = bus.respond(&ECHO, move |number| {
        let publisher = publisher.clone();
        async move {
            publisher.publish(number).await?;
            Ok::<_, Failure>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    for request in 1..=2 {
        requester.request(7).await.unwrap();
        let event = audited.recv().await.unwrap();
        let id = format!("echo#{request}");
        assert_eq!(event.meta().causation_id(), Some(&*id));
        assert_eq!(event.meta().correlation_id(), Some(&*id));
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_bus_and_every_requester_are_gone_the_responders_end() {
    let bus = LocalBus::new();
    let responder = bus.respond(&ECHO, echo).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    drop(bus);
    assert_eq!(requester.request(1).await.unwrap(), 1);
    drop(requester);
    settle().await;
    let report = responder.drain(Duration::ZERO).await;
    assert!(report.aborted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_stats_tell_where_requests_are_made_and_answered_and_how_many_wait() {
    let bus = LocalBus::new();
    let endpoint = ECHO.capacity(2);
    let (requester, line) = (bus.requester(&endpoint).unwrap(), line!());
    let _responder = bus.respond(&endpoint, never).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..5 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    let stats = stats_of(&bus, "echo");
    assert_eq!(
        (stats.published, stats.depth, stats.waiting_publishers),
        (3, 2, 2)
    );
    let [publisher] = &stats.publishers[..] else {
        panic!("{:?}", stats.publishers);
    };
    assert_eq!(
        (publisher.place.file(), publisher.place.line()),
        (file!(), line)
    );
    assert_eq!(publisher.open, 1);
    let [responding] = &stats.subscribers[..] else {
        panic!("{:?}", stats.subscribers);
    };
    assert_eq!(responding.place.file(), file!());
    asking.abort_all();
    while asking.join_next().await.is_some() {}
    let stats = stats_of(&bus, "echo");
    assert_eq!((stats.depth, stats.waiting_publishers), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_dropped_after_any_poll() {
    for capacity in [1, 2, 8] {
        for polls in 0..12 {
            let (bus, alive) = (LocalBus::new(), Alive::default());
            let endpoint = ECHO.capacity(capacity);
            let guarded = alive.clone();
            let _responder = bus.respond_with(&endpoint, 2, move |number| {
                let guard = guarded.guard();
                async move {
                    yield_now().await;
                    yield_now().await;
                    drop(guard);
                    Ok::<_, Infallible>(number)
                }
            });
            let requester = bus.requester(&endpoint).unwrap();
            let others = [1, 2, 3, 4].map(|number| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request(number).await.unwrap() })
            });
            {
                let mut dropped = pin!(requester.request(0));
                for _ in 0..polls {
                    if poll(dropped.as_mut()).is_ready() {
                        break;
                    }
                    yield_now().await;
                }
            }
            for (number, other) in (1..).zip(others) {
                assert_eq!(other.await.unwrap(), number);
            }
            settle().await;
            assert_eq!(requester.request(9).await.unwrap(), 9);
            assert_eq!(alive.now(), 0);
            let stats = stats_of(&bus, "echo");
            assert!(stats.ledger.is_balanced(), "{stats:?}");
            assert_eq!((stats.depth, stats.waiting_publishers), (0, 0));
            let lost = stats.ledger.dropped.unreceived;
            assert_eq!(stats.published, stats.ledger.delivered + lost);
            // Whatever was promised has been given back: the whole capacity can be used.
            let gate = Arc::new(Notify::new());
            drop(_responder);
            let closes = Arc::clone(&gate);
            let _responder = bus.respond(&endpoint, move |number| {
                let gate = Arc::clone(&closes);
                async move {
                    gate.notified().await;
                    Ok::<_, Infallible>(number)
                }
            });
            let mut asking = JoinSet::new();
            for number in 0..=capacity as u64 {
                let requester = requester.clone();
                asking.spawn(async move { requester.request(number).await });
                settle().await;
            }
            let stats = stats_of(&bus, "echo");
            assert_eq!(
                (stats.depth, stats.waiting_publishers),
                (capacity as u64, 0)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_responder_may_be_dropped_after_any_poll() {
    for polls in 0..6 {
        let bus = LocalBus::new();
        let responder = bus.respond(&ECHO, |number| async move {
            time::sleep(SECOND).await;
            Ok::<_, Infallible>(number)
        });
        let responder = responder.unwrap();
        let requester = bus.requester(&ECHO).unwrap();
        let taken = requester.clone();
        let taken = tokio::spawn(async move { taken.request(1).await });
        settle().await;
        {
            let mut draining = pin!(responder.drain(5 * SECOND));
            for _ in 0..polls {
                assert!(poll(draining.as_mut()).is_pending());
                yield_now().await;
            }
        }
        assert_eq!(taken.await.unwrap().unwrap(), 1);
        if polls > 0 {
            let refused = requester.request(2).await;
            assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
        } else {
            assert_eq!(requester.request(2).await.unwrap(), 2);
        }
    }
}

#[test]
fn when_the_runtime_of_the_responder_ends_who_asked_is_told() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let (bus, theirs, ours) = (LocalBus::new(), runtime(), runtime());
    let guard = theirs.enter();
    let _responder = bus.respond(&ECHO, never).unwrap();
    drop(guard);
    let requester = bus.requester(&ECHO).unwrap();
    ours.block_on(async {
        let asking = requester.clone();
        let asking = tokio::spawn(async move { asking.request(1).await });
        settle().await;
        theirs.shutdown_background();
        let told = asking.await.unwrap();
        assert!(
            matches!(told, Err(RequestError::NoResponders { .. })),
            "{told:?}"
        );
        let told = requester.request(2).await;
        assert!(
            matches!(told, Err(RequestError::NoResponders { .. })),
            "{told:?}"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_every_request_is_answered_once_or_its_asker_went() {
    many_threads(&LocalBus::new()).await;
    many_threads(&ByteBus::new()).await;
}

async fn many_threads(bus: &impl Bus) {
    const ASKERS: u64 = 16;
    const REQUESTS: u64 = 500;
    let answered = Arc::new(Mutex::new(Vec::new()));
    let endpoint = ECHO.capacity(4);
    let _responders = [0, 1, 2].map(|_| {
        let answered = Arc::clone(&answered);
        bus.respond_with(&endpoint, 2, move |number| {
            answered.lock().unwrap().push(number);
            async move {
                if number % 7 == 0 {
                    yield_now().await;
                }
                Ok::<_, Infallible>(number)
            }
        })
    });
    let mut asking = JoinSet::new();
    for asker in 0..ASKERS {
        let requester = bus.requester(&endpoint).unwrap();
        asking.spawn(async move {
            let mut replies = Vec::new();
            for request in 0..REQUESTS {
                let number = asker * REQUESTS + request;
                if number.is_multiple_of(5) {
                    tokio::select! {
                        biased;
                        reply = requester.request(number) => replies.push(reply.unwrap()),
                        () = yield_now() => {}
                    }
                } else {
                    assert_eq!(requester.request(number).await.unwrap(), number);
                    replies.push(number);
                }
            }
            replies
        });
    }
    let mut replies = asking.join_all().await.concat();
    // Those of whom the asker went may be on their way.
    assert!(bus.drain(10 * SECOND).await.is_complete());
    let mut answered = std::mem::take(&mut *answered.lock().unwrap());
    answered.sort_unstable();
    let count = answered.len();
    answered.dedup();
    assert_eq!(answered.len(), count);
    replies.sort_unstable();
    assert!(
        replies
            .iter()
            .all(|reply| answered.binary_search(reply).is_ok())
    );
    let stats = stats_of(bus, "echo");
    assert!(stats.ledger.is_balanced());
    assert_eq!((stats.depth, stats.waiting_publishers), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_always_has_something_to_do_lets_others_have_their_turn() {
    let (bus, answered) = (LocalBus::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&answered);
    let _responder = bus.respond(&ECHO, move |number| {
        counted.fetch_add(1, Ordering::SeqCst);
        echo(number)
    });
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..1000 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.unwrap() });
    }
    let mut most_in_a_turn = 0;
    let mut before = 0;
    while before < 1000 {
        yield_now().await;
        let now = answered.load(Ordering::SeqCst);
        most_in_a_turn = most_in_a_turn.max(now - before);
        before = now;
    }
    assert!(most_in_a_turn < 500, "{most_in_a_turn}");
}

#[test]
fn a_deadline_holds_though_the_thread_of_the_responder_is_blocked() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let bus = LocalBus::new();
    let (begins, begun) = std::sync::mpsc::channel();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let answers = move |number| {
        begins.send(()).unwrap();
        // Until the other end is dropped.
        let _ = blocked.lock().unwrap().recv();
        echo(number)
    };
    let (theirs, ours) = (runtime(), runtime());
    let entered = theirs.enter();
    let responder = bus.respond(&ECHO, answers).unwrap();
    drop(entered);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || theirs.block_on(stopped));
    let requester = bus.requester(&ECHO).unwrap();
    let requester = requester.deadline(Duration::from_millis(10));
    ours.block_on(async {
        let (taken, queued) = tokio::join!(requester.request(1), requester.request(2));
        for late in [taken, queued] {
            let is_late = matches!(late, Err(RequestError::DeadlineExceeded { .. }));
            assert!(is_late, "{late:?}");
        }
    });
    begun.recv().unwrap();
    assert!(begun.try_recv().is_err(), "the second began too");
    drop(unblock);
    drop((stop, responder));
    thread.join().unwrap().unwrap_err();
}
