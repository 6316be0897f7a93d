//! The events of a topic on the bus of bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::faults::{Tally, Trouble};
use super::{Faults, ON_THEIR_WAY_MAX, next};
use crate::link::{
    Frame, FrameClaim, FrameGroup, FrameSource, Link, LinkError, LinkFrame, Receipt,
};
use crate::{
    Claim, GroupMember, Ledger, Log, Opening, SubscribeOptions, Subscriber, TaskScope, TopicStats,
    TryReceiveError,
};

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
pub(super) struct ByteLink {
    entrance: mpsc::Sender<Parcel>,
    far: Log<Frame>,
    closed: CancellationToken,
    all_arrived: CancellationToken,
}

impl ByteLink {
    /// Both sides, and the task that carries events from the one to the other.
    pub(super) fn open(
        topic: &Opening<'_>,
        faults: &Faults,
        tally: &Tally,
        carriers: &TaskScope,
    ) -> Arc<Self> {
        let (entrance, parcels) = mpsc::channel(ON_THEIR_WAY_MAX);
        let link = Arc::new(Self {
            entrance,
            far: Log::retaining(topic.name(), topic.capacity(), topic.retain()),
            closed: CancellationToken::new(),
            all_arrived: CancellationToken::new(),
        });
        let far_side = FarSide {
            far: link.far.clone(),
            all_arrived: link.all_arrived.clone(),
            closed: link.closed.clone(),
            trouble: faults.on(topic.name(), tally.clone()),
        };
        carriers.spawn(topic.name(), far_side.carry(parcels));
        link
    }
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

/// The far side of a topic, and the way there. Dropping it, which the end of its task does in
/// whatever way it ends, says that nothing more arrives.
struct FarSide {
    far: Log<Frame>,
    all_arrived: CancellationToken,
    closed: CancellationToken,
    trouble: Trouble,
}

impl FarSide {
    /// Carries parcels until the topic is closed, and then those that were accepted before; or
    /// until a fault cuts the way.
    async fn carry(mut self, mut parcels: mpsc::Receiver<Parcel>) {
        while !self.trouble.is_end() {
            match next(&mut parcels, &self.closed).await {
                Some(parcel) => self.pass(parcel).await,
                None => return,
            }
        }
        self.cut(parcels).await;
    }

    async fn pass(&mut self, parcel: Parcel) {
        let Ok(frame) = serde_json::from_slice::<Frame>(&parcel.frame) else {
            return;
        };
        let fate = self.trouble.next();
        let copies = fate.happen(&self.trouble.tally).await;
        for copy in 0..copies {
            if self.far.append(frame.clone().into()).await.is_err() {
                return;
            }
            if copy > 0 {
                self.trouble.tally.lock().duplicated += 1;
            }
        }
        if let Some(arrived) = parcel.arrived {
            // Whoever published it may have stopped waiting.
            let _ = arrived.send(());
        }
    }

    /// Nothing more arrives. Who waits for an arrival is refused; nobody else learns of the loss.
    async fn cut(&self, mut parcels: mpsc::Receiver<Parcel>) {
        self.closed.cancel();
        parcels.close();
        let mut lost = 0;
        while let Some(parcel) = parcels.recv().await {
            lost += u64::from(parcel.arrived.is_none());
        }
        let mut counts = self.trouble.tally.lock();
        counts.closed += 1;
        counts.dropped += lost;
    }
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

    fn give_back(self: Box<Self>, after: Duration) {
        Claim::give_back(*self, after);
    }
}
