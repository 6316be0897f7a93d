//! A bus for tests: every event becomes bytes, crosses a task boundary, and is made again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::link::{
    Frame, FrameClaim, FrameGroup, FrameSource, Link, LinkError, LinkFrame, Receipt,
};
use crate::{
    AnyLog, Bus, BusError, Claim, Drained, GroupMember, Ledger, Log, Opening, Port,
    SubscribeOptions, Subscriber, TaskScope, TopicStats, TryReceiveError, Watch, Watchers,
    Watching, time,
};

/// How many events of a topic may be on their way: a few, so that a test can fill the way too.
const ON_THEIR_WAY_MAX: usize = 3;

/// A bus for tests of what must work on any bus: it behaves as one does that reaches other
/// processes, without one.
///
/// An event is serialised, waits for its turn on the way, is carried by a task to the far side,
/// and serialised back for each subscriber. `publish` resolves when the far side has it. So up to
/// the capacity of its topic plus four events may be accepted that nobody has received, and
/// `try_publish` succeeds before the event arrives. In-process topics are refused.
///
/// Topics must be opened on a tokio runtime, whose tasks carry the events. Dropping the bus cuts
/// every way: what had not arrived is lost, publishers are refused, and subscribers get what had
/// arrived, then `None`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{BusExt, ByteBus, Topic};
///
/// const GREETING: Topic<String> = Topic::new("greeting");
///
/// let bus = ByteBus::new();
/// let mut greetings = bus.subscribe(&GREETING)?;
/// bus.publisher(&GREETING)?.publish("hello".to_owned()).await?;
/// assert_eq!(*greetings.recv().await.unwrap(), "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct ByteBus {
    topics: Mutex<Topics>,
    watchers: Watchers,
    carriers: TaskScope,
}

#[derive(Debug, Default)]
struct Topics {
    links: BTreeMap<String, Opened>,
    closed: bool,
}

/// A topic, and what its first opening said of it: a log of which only the check is used.
#[derive(Debug)]
struct Opened {
    first: AnyLog,
    link: Arc<ByteLink>,
}

impl ByteBus {
    /// A bus without topics.
    pub fn new() -> Self {
        Self {
            topics: Mutex::default(),
            watchers: Watchers::new(),
            carriers: TaskScope::new("byte-bus"),
        }
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> Vec<Arc<ByteLink>> {
        let topics = self.topics();
        let links = topics.links.values();
        links.map(|opened| Arc::clone(&opened.link)).collect()
    }
}

impl Default for ByteBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for ByteBus {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let name = topic.name().to_owned();
        if !topic.crosses_processes() {
            return Err(BusError::InProcessOnly {
                topic: name,
                event: topic.type_name(),
            });
        }
        let mut topics = self.topics();
        if let Some(opened) = topics.links.get(&name) {
            opened.first.check(topic)?;
            return Ok(Port::Link(Arc::clone(&opened.link) as Arc<dyn Link>));
        }
        if topics.closed {
            return Err(BusError::Closed { topic: name });
        }
        let (entrance, parcels) = mpsc::channel(ON_THEIR_WAY_MAX);
        let link = Arc::new(ByteLink {
            entrance,
            far: Log::retaining(&*name, topic.capacity(), topic.retain()),
            closed: CancellationToken::new(),
            all_arrived: CancellationToken::new(),
        });
        let port = Port::Link(Arc::clone(&link) as Arc<dyn Link>);
        let attached = self.watchers.opened(&name, &port)?;
        let far_side = FarSide {
            far: link.far.clone(),
            all_arrived: link.all_arrived.clone(),
        };
        let carrier = far_side.carry(parcels, link.closed.clone());
        self.carriers.spawn(&*name, carrier);
        let first = topic.make_log();
        topics.links.insert(name, Opened { first, link });
        drop(topics);
        drop(attached);
        Ok(port)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        let topics = self.topics();
        let links = topics.links.iter().map(|(name, opened)| {
            let link = Arc::clone(&opened.link);
            (&**name, Port::Link(link))
        });
        self.watchers.watch(watch, links)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.links().iter().map(|link| link.stats()).collect()
    }

    fn close(&self) {
        self.topics().closed = true;
        self.links().iter().for_each(|link| link.close());
        self.watchers.close();
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        Box::pin(async move {
            self.close();
            let before = self.stats();
            let all = async {
                for link in self.links() {
                    link.drained().await;
                }
            };
            // In time or not: the counts say it.
            let _ = time::timeout(deadline, all).await;
            Drained::between(&before, self.stats())
        })
    }
}

/// An event on its way.
struct Parcel {
    frame: Vec<u8>,
    /// Told when it has arrived, where somebody waits for that.
    arrived: Option<oneshot::Sender<()>>,
}

impl Parcel {
    fn of(frame: &Frame, arrived: Option<oneshot::Sender<()>>) -> Result<Self, LinkError> {
        let frame = serde_json::to_vec(frame).map_err(|error| LinkError::Failed(error.into()))?;
        Ok(Self { frame, arrived })
    }
}

/// The near side of a topic.
#[derive(Debug)]
struct ByteLink {
    entrance: mpsc::Sender<Parcel>,
    far: Log<Frame>,
    closed: CancellationToken,
    all_arrived: CancellationToken,
}

impl Link for ByteLink {
    fn send(&self, frame: Frame) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let (arrived, arrival) = oneshot::channel();
            let parcel = Parcel::of(&frame, Some(arrived))?;
            let sent = self.closed.run_until_cancelled(self.entrance.send(parcel));
            match sent.await {
                Some(Ok(())) => arrival.await.map_err(|_| LinkError::Closed),
                Some(Err(_)) | None => Err(LinkError::Closed),
            }
        })
    }

    fn try_send(&self, frame: Frame) -> Result<(), LinkError> {
        if self.closed.is_cancelled() {
            return Err(LinkError::Closed);
        }
        let sent = self.entrance.try_send(Parcel::of(&frame, None)?);
        sent.map_err(|error| match error {
            TrySendError::Full(_) => LinkError::Full,
            TrySendError::Closed(_) => LinkError::Closed,
        })
    }

    fn subscribe(
        &self,
        options: SubscribeOptions<Frame>,
    ) -> Result<Box<dyn FrameSource>, LinkError> {
        Ok(Box::new(Arrivals(self.far.subscribe(options))))
    }

    fn join(&self, group: &str) -> Result<Box<dyn FrameGroup>, LinkError> {
        Ok(Box::new(Frames(self.far.join_group(group))))
    }

    fn close(&self) {
        self.closed.cancel();
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.all_arrived.cancelled().await;
            self.far.drained().await;
        })
    }

    fn stats(&self) -> TopicStats {
        let mut stats = self.far.stats();
        stats.closed = self.closed.is_cancelled();
        // What has been accepted and is still on its way has been received by nobody.
        let on_their_way = (self.entrance.max_capacity() - self.entrance.capacity()) as u64;
        stats.published += on_their_way;
        let open = stats.subscribers.iter_mut().filter(|each| !each.closed);
        for subscriber in open {
            for ledger in [&mut subscriber.ledger, &mut stats.ledger] {
                ledger.published += on_their_way;
                ledger.in_flight += on_their_way;
            }
        }
        stats
    }
}

/// The far side of a topic. Dropping it, which the end of its task does in whatever way it ends,
/// says that nothing more arrives.
struct FarSide {
    far: Log<Frame>,
    all_arrived: CancellationToken,
}

impl FarSide {
    /// Carries parcels until the topic is closed, and then those that were accepted before.
    async fn carry(self, mut parcels: mpsc::Receiver<Parcel>, closed: CancellationToken) {
        while let Some(parcel) = next(&mut parcels, &closed).await {
            let Ok(frame) = serde_json::from_slice::<Frame>(&parcel.frame) else {
                continue;
            };
            let appended = self.far.append(frame.into()).await;
            if let (Ok(()), Some(arrived)) = (appended, parcel.arrived) {
                // Whoever published it may have stopped waiting.
                let _ = arrived.send(());
            }
        }
    }
}

async fn next(parcels: &mut mpsc::Receiver<Parcel>, closed: &CancellationToken) -> Option<Parcel> {
    if let Some(parcel) = closed.run_until_cancelled(parcels.recv()).await {
        return parcel;
    }
    parcels.close();
    parcels.recv().await
}

impl Drop for FarSide {
    fn drop(&mut self) {
        self.far.close();
        self.all_arrived.cancel();
    }
}

/// The frames of a topic as one subscriber gets them.
struct Arrivals(Subscriber<Frame>);

impl FrameSource for Arrivals {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkFrame>> {
        // First without the stream's cooperative budget: whoever polls this has spent some of it.
        match self.0.try_recv() {
            Ok(received) => Poll::Ready(Some(LinkFrame {
                frame: received.event().clone(),
                sequence: received.meta().sequence(),
                lag: received.lag(),
            })),
            Err(TryReceiveError::Closed) => Poll::Ready(None),
            Err(TryReceiveError::Empty) => {
                let delivery = ready!(Pin::new(&mut self.0).poll_next(cx));
                Poll::Ready(delivery.map(|delivery| LinkFrame {
                    frame: (*delivery).clone(),
                    sequence: delivery.meta().sequence(),
                    lag: delivery.lag(),
                }))
            }
        }
    }

    fn close(&mut self) {
        self.0.close();
    }

    fn ledger(&self) -> Ledger {
        self.0.ledger()
    }
}

/// The frames of a topic as one member of a group gets them.
struct Frames(GroupMember<Frame>);

impl FrameGroup for Frames {
    fn claim(&self) -> BoxFuture<'_, Option<FrameClaim>> {
        Box::pin(async {
            let claim = self.0.recv().await?;
            Some(FrameClaim {
                frame: (*claim).clone(),
                sequence: claim.meta().sequence(),
                attempt: claim.attempt(),
                receipt: Box::new(claim),
            })
        })
    }

    fn another(&self) -> Box<dyn FrameGroup> {
        Box::new(Self(self.0.clone()))
    }
}

impl Receipt for Claim<Frame> {
    fn acknowledge(self: Box<Self>) {
        Claim::acknowledge(*self);
    }
}
