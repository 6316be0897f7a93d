//! The handles of requests over a link that somebody else wrote, and what they make of its failures.

use std::collections::VecDeque;
use std::error::Error;

use super::*;
use coord_bus::{
    BoxFuture, Drained, EndpointLink, Frame, FrameFailure, FrameRequest, FrameResponder, LinkError,
    Opening, Port, ReplyTo, Unanswered, Watch, Watchers, Watching,
};

/// A bus of one endpoint.
#[derive(Default)]
struct Scripted(Arc<ScriptedLink>);

/// Says what it is told to say.
#[derive(Default)]
struct ScriptedLink {
    /// What each request meets; nothing means that it fails.
    outcomes: Mutex<VecDeque<Result<Frame, Unanswered>>>,
    /// What a responder takes; nothing means that there can be none.
    questions: Mutex<Option<Vec<FrameRequest>>>,
    stopped: Arc<AtomicUsize>,
}

fn broken() -> Box<dyn Error + Send + Sync> {
    "the cable is cut".into()
}

fn frame(payload: &str) -> Frame {
    Frame {
        payload: payload.into(),
        details: None,
    }
}

impl Bus for Scripted {
    fn open(&self, _topic: &Opening<'_>) -> Result<Port, BusError> {
        Ok(Port::Endpoint(Arc::clone(&self.0) as Arc<dyn EndpointLink>))
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        let port = Port::Endpoint(Arc::clone(&self.0) as Arc<dyn EndpointLink>);
        Watchers::new().watch(watch, [("echo", port)])
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

impl EndpointLink for ScriptedLink {
    fn request(&self, _question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>> {
        Box::pin(async {
            let outcome = self.outcomes.lock().unwrap().pop_front();
            outcome.unwrap_or_else(|| Err(Unanswered::Link(broken())))
        })
    }

    fn try_request(&self, _question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>> {
        Box::pin(async { Err(Unanswered::Full) })
    }

    fn respond(&self) -> Result<Box<dyn FrameResponder>, LinkError> {
        match self.questions.lock().unwrap().take() {
            Some(questions) => Ok(Box::new(Questions {
                questions: Mutex::new(questions),
                stopped: Arc::clone(&self.stopped),
            })),
            None => Err(LinkError::Failed(broken())),
        }
    }

    fn close(&self) {}

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn stats(&self) -> TopicStats {
        coord_bus::Log::<u64>::new("echo", 1).stats()
    }
}

struct Questions {
    questions: Mutex<Vec<FrameRequest>>,
    stopped: Arc<AtomicUsize>,
}

impl FrameResponder for Questions {
    fn next(&self) -> BoxFuture<'_, Option<FrameRequest>> {
        Box::pin(async {
            let question = self.questions.lock().unwrap().pop();
            match question {
                Some(question) => Some(question),
                None => pending().await,
            }
        })
    }

    fn stop(&self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

/// Who asks, and remembers what it was told.
#[derive(Clone, Default)]
struct Asker {
    told: Arc<Mutex<Vec<Result<Frame, FrameFailure>>>>,
    presence: Arc<Mutex<Presence>>,
}

#[derive(Default)]
struct Presence {
    is_gone: bool,
    watched_by: Option<Waker>,
}

impl Asker {
    fn go(&self) {
        let mut presence = self.presence.lock().unwrap();
        presence.is_gone = true;
        presence.watched_by.take().unwrap().wake();
    }
}

impl ReplyTo for Asker {
    fn reply(self: Box<Self>, reply: Result<Frame, FrameFailure>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.told.lock().unwrap().push(reply) })
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut presence = self.presence.lock().unwrap();
        if presence.is_gone {
            return Poll::Ready(());
        }
        presence.watched_by = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_link_says_is_told_with_the_endpoint() {
    let bus = Scripted::default();
    let failure = FrameFailure {
        message: "odd".to_owned(),
        permanent: true,
    };
    *bus.0.outcomes.lock().unwrap() = [
        Ok(frame("7")),
        Ok(frame("no number")),
        Err(Unanswered::NoResponders),
        Err(Unanswered::Abandoned),
        Err(Unanswered::Full),
        Err(Unanswered::Closed),
        Err(Unanswered::Failed(failure)),
    ]
    .into();
    let requester = bus.requester(&ECHO).unwrap();
    assert_eq!(requester.request(1).await.unwrap(), 7);
    let mut told = Vec::new();
    for _ in 0..7 {
        let error = requester.request(1).await.unwrap_err();
        assert!(error.to_string().contains("`echo`"), "{error}");
        told.push(error);
    }
    assert!(matches!(
        &told[..],
        [
            RequestError::Decode { reply: "u64", .. },
            RequestError::NoResponders { .. },
            RequestError::Abandoned { .. },
            RequestError::Full { .. },
            RequestError::Closed { .. },
            RequestError::Failed { failure, .. },
            RequestError::Link { source, .. },
        ] if failure.is_permanent()
            && failure.to_string() == "odd"
            && source.to_string() == "the cable is cut"
    ));
}

#[tokio::test(start_paused = true)]
async fn who_handles_something_asks_a_link_that_it_must_not_wait() {
    let bus = Scripted::default();
    *bus.0.outcomes.lock().unwrap() = [Ok(frame("7"))].into();
    let requester = bus.requester(&ECHO).unwrap();
    let events = LocalBus::new();
    let topic = Topic::<u64>::new("events");
    let mut received = events.subscribe(&topic).unwrap();
    events.publisher(&topic).unwrap().publish(1).await.unwrap();
    let cause = received.recv().await.unwrap().meta().cause();
    let refused = cause.run(requester.request(1)).await;
    assert!(matches!(refused, Err(RequestError::Full { .. })));
    assert_eq!(requester.request(1).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_no_responder_or_carries_no_events_is_named() {
    let bus = Scripted::default();
    let refused = bus.respond(&ECHO, echo).unwrap_err();
    let BusError::Link { topic, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(topic, "echo");
    let link = refused.source().unwrap();
    assert_eq!(link.source().unwrap().to_string(), "the cable is cut");
    let refused = bus.publisher(&Topic::<u64>::new("numbers")).map(drop);
    assert!(matches!(
        refused,
        Err(BusError::Unsupported { topic, what: "events" }) if topic == "numbers"
    ));
    let in_process = Endpoint::<u64, u64>::in_process("handles");
    let refused = bus.requester(&in_process).map(drop);
    assert!(matches!(refused, Err(BusError::InProcessOnly { topic, .. }) if topic == "handles"));
}

#[tokio::test(start_paused = true)]
async fn a_bus_whose_links_carry_no_requests_says_so() {
    let bus = crate::link::Scripted::default();
    let refused = bus.requester(&ECHO).map(drop);
    assert!(matches!(
        refused,
        Err(BusError::Unsupported { topic, what: "requests" }) if topic == "echo"
    ));
}

#[tokio::test(start_paused = true)]
async fn a_responder_replies_through_its_link_unless_who_asked_has_gone() {
    let (bus, stays, goes) = (Scripted::default(), Asker::default(), Asker::default());
    let request = |payload, reply_to: &Asker| FrameRequest {
        question: frame(payload),
        id: "a question".to_owned(),
        reply_to: Box::new(reply_to.clone()),
    };
    // The last of them is taken first.
    let questions = vec![
        request("1", &stays),
        request("no number", &stays),
        request("2", &goes),
    ];
    *bus.0.questions.lock().unwrap() = Some(questions);
    let alive = Alive::default();
    let guarded = alive.clone();
    let responder = bus.respond(&ECHO, move |number| {
        let guard = guarded.guard();
        async move {
            if number == 2 {
                pending::<()>().await;
            }
            drop(guard);
            Err::<u64, _>(Failure::message("unlucky").permanent())
        }
    });
    let responder = responder.unwrap();
    settle().await;
    assert_eq!((alive.now(), stays.told.lock().unwrap().len()), (1, 0));
    goes.go();
    settle().await;
    assert_eq!((alive.now(), alive.begun()), (0, 2));
    assert!(goes.told.lock().unwrap().is_empty());
    let replies = stays.told.lock().unwrap().clone();
    let [Err(undecodable), Err(unlucky)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert!(undecodable.permanent && unlucky.permanent);
    assert_eq!(unlucky.message, "unlucky");
    let expected = "its question could not be decoded as u64: ";
    assert!(undecodable.message.starts_with(expected), "{undecodable:?}");
    drop(responder);
    assert_eq!(bus.0.stopped.load(Ordering::SeqCst), 1);
}
