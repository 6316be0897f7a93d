//! The requests of an endpoint on the bus of bytes: there as parcels, one after another, and back
//! each by a courier.

use std::future::{pending, poll_fn, ready};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::faults::{Tally, Trouble};
use super::{Faults, ON_THEIR_WAY_MAX, next};
use crate::desk::{Answer, Ask, Desk, Seat, Taken, Turned};
use crate::link::{
    EndpointLink, Frame, FrameFailure, FrameRequest, FrameResponder, LinkError, ReplyTo, Unanswered,
};
use crate::{Opening, TaskScope, TopicStats};

type Reply = Result<Frame, FrameFailure>;

/// Where questions wait for a responder, at the far side.
type FarDesk = Desk<Frame, Reply>;

/// A question on its way.
struct Parcel {
    question: Vec<u8>,
    reply_to: oneshot::Sender<Vec<u8>>,
}

/// What comes back.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Replied(Reply),
    NoResponders,
    Abandoned,
    Full,
    Closed,
}

/// The near side of an endpoint.
pub(super) struct ByteEndpoint {
    entrance: mpsc::Sender<Parcel>,
    desk: Arc<FarDesk>,
    request_type: &'static str,
    closed: CancellationToken,
    all_arrived: CancellationToken,
}

impl ByteEndpoint {
    /// Both sides, and the task that carries questions from the one to the other.
    pub(super) fn open(
        endpoint: &Opening<'_>,
        faults: &Faults,
        tally: &Tally,
        carriers: &TaskScope,
    ) -> Arc<Self> {
        let (entrance, parcels) = mpsc::channel(ON_THEIR_WAY_MAX);
        let name = endpoint.name();
        let link = Arc::new(Self {
            entrance,
            desk: Arc::new(Desk::new(name, endpoint.capacity())),
            request_type: endpoint.type_name(),
            closed: CancellationToken::new(),
            all_arrived: CancellationToken::new(),
        });
        // No name has a blank in it, so no topic has the faults of these replies.
        let replies = faults.on(&format!("{name} replies"), tally.clone());
        let far_side = FarSide {
            desk: Arc::clone(&link.desk),
            closed: link.closed.clone(),
            all_arrived: link.all_arrived.clone(),
            trouble: faults.on(name, tally.clone()),
            replies: Arc::new(Mutex::new(replies)),
        };
        carriers.spawn(name, far_side.carry(parcels));
        link
    }

    fn parcel(question: &Frame) -> Result<(Parcel, oneshot::Receiver<Vec<u8>>), Unanswered> {
        let question = serde_json::to_vec(question);
        let question = question.map_err(|error| Unanswered::Link(error.into()))?;
        let (reply_to, reply) = oneshot::channel();
        Ok((Parcel { question, reply_to }, reply))
    }
}

/// What came back; nothing does when the way is cut.
async fn outcome(reply: oneshot::Receiver<Vec<u8>>) -> Result<Frame, Unanswered> {
    let bytes = reply.await.map_err(|_| Unanswered::Closed)?;
    let outcome = serde_json::from_slice(&bytes);
    match outcome.map_err(|error| Unanswered::Link(error.into()))? {
        Outcome::Replied(reply) => reply.map_err(Unanswered::Failed),
        Outcome::NoResponders => Err(Unanswered::NoResponders),
        Outcome::Abandoned => Err(Unanswered::Abandoned),
        Outcome::Full => Err(Unanswered::Full),
        Outcome::Closed => Err(Unanswered::Closed),
    }
}

impl EndpointLink for ByteEndpoint {
    fn request(&self, question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>> {
        Box::pin(async move {
            let (parcel, reply) = Self::parcel(&question)?;
            let sent = self.closed.run_until_cancelled(self.entrance.send(parcel));
            match sent.await {
                Some(Ok(())) => outcome(reply).await,
                Some(Err(_)) | None => Err(Unanswered::Closed),
            }
        })
    }

    fn try_request(&self, question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>> {
        Box::pin(async move {
            if self.closed.is_cancelled() {
                return Err(Unanswered::Closed);
            }
            let (parcel, reply) = Self::parcel(&question)?;
            match self.entrance.try_send(parcel) {
                Ok(()) => outcome(reply).await,
                Err(TrySendError::Full(_)) => Err(Unanswered::Full),
                Err(TrySendError::Closed(_)) => Err(Unanswered::Closed),
            }
        })
    }

    fn respond(&self) -> Result<Box<dyn FrameResponder>, LinkError> {
        Ok(Box::new(Seat::take(&self.desk, Location::caller())))
    }

    fn close(&self) {
        self.closed.cancel();
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.all_arrived.cancelled().await;
            self.desk.drained().await;
        })
    }

    fn stats(&self) -> TopicStats {
        let mut stats = self.desk.stats();
        stats.event = self.request_type;
        stats.closed = self.closed.is_cancelled();
        // What has been accepted and is still on its way has been taken by nobody; nor has what
        // waits at the far side for room.
        let way = self.entrance.max_capacity() - self.entrance.capacity();
        let on_their_way = (way + std::mem::take(&mut stats.waiting_publishers)) as u64;
        stats.published += on_their_way;
        for responders in &mut stats.subscribers {
            for ledger in [&mut responders.ledger, &mut stats.ledger] {
                ledger.published += on_their_way;
                ledger.in_flight += on_their_way;
            }
        }
        stats
    }
}

/// The far side of an endpoint, and the way there. Dropping it, which the end of the way does in
/// whatever way it comes, says that nothing more arrives.
struct FarSide {
    desk: Arc<FarDesk>,
    closed: CancellationToken,
    all_arrived: CancellationToken,
    trouble: Trouble,
    replies: Arc<Mutex<Trouble>>,
}

impl FarSide {
    /// Carries questions until the endpoint is closed, and then those that were accepted before; or
    /// until a fault cuts the way. It owns those who bring the replies back, and so ends with the
    /// bus alone.
    async fn carry(mut self, mut parcels: mpsc::Receiver<Parcel>) {
        let couriers = TaskScope::new(&**self.desk.topic());
        while !self.trouble.is_end()
            && let Some(parcel) = next(&mut parcels, &self.closed).await
        {
            self.pass(parcel, &couriers).await;
        }
        if self.trouble.is_end() {
            self.closed.cancel();
            parcels.close();
            // Who asked is told that it is closed.
            while parcels.recv().await.is_some() {}
            self.trouble.tally.lock().closed += 1;
        }
        drop(self);
        pending::<()>().await;
    }

    async fn pass(&mut self, parcel: Parcel, couriers: &TaskScope) {
        let Ok(question) = serde_json::from_slice(&parcel.question) else {
            return;
        };
        let fate = self.trouble.next();
        let copies = fate.happen(&self.trouble.tally).await;
        let courier = Courier {
            desk: Arc::clone(&self.desk),
            replies: Arc::clone(&self.replies),
            tally: self.trouble.tally.clone(),
            reply_to: parcel.reply_to,
        };
        // The next waits until there is room for this one, so that they stay in order.
        let (accepted, is_accepted) = oneshot::channel();
        couriers.spawn(
            &**self.desk.topic(),
            courier.bring(question, copies, accepted),
        );
        // It only ever tells that by dropping its end.
        let _ = is_accepted.await;
    }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        self.desk.close();
        self.all_arrived.cancel();
    }
}

/// Brings one question to the desk, and its reply back, unless whoever asked goes first.
struct Courier {
    desk: Arc<FarDesk>,
    replies: Arc<Mutex<Trouble>>,
    tally: Tally,
    reply_to: oneshot::Sender<Vec<u8>>,
}

impl Courier {
    async fn bring(self, question: Frame, copies: u8, accepted: oneshot::Sender<()>) {
        let Self {
            desk,
            replies,
            tally,
            mut reply_to,
        } = self;
        let asking = async {
            let outcome = ask(&desk, &question, copies, accepted, &tally).await;
            let fate = replies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next();
            match fate.happen(&tally).await {
                0 => pending().await,
                // Who asked takes the first and is gone.
                copies => tally.lock().duplicated += u64::from(copies) - 1,
            }
            outcome
        };
        let outcome = tokio::select! {
            biased;
            () = reply_to.closed() => return,
            outcome = asking => outcome,
        };
        if let Ok(bytes) = serde_json::to_vec(&outcome) {
            // Who asked may be gone by now.
            let _ = reply_to.send(bytes);
        }
    }
}

/// Asks this many times, and takes the first answer. Drops `accepted` once all are in the queue.
async fn ask(
    desk: &FarDesk,
    question: &Frame,
    copies: u8,
    accepted: oneshot::Sender<()>,
    tally: &Tally,
) -> Outcome {
    let ask = |_| desk.ask(question.clone());
    let mut asks: Vec<_> = (0..copies).map(ask).collect();
    let mut accepted = Some(accepted);
    let answer = poll_fn(|cx| {
        for ask in &mut asks {
            if let Poll::Ready(answer) = Pin::new(ask).poll(cx) {
                return Poll::Ready(answer);
            }
        }
        if asks.iter().all(Ask::is_accepted) && accepted.take().is_some() {
            tally.lock().duplicated += u64::from(copies.saturating_sub(1));
        }
        Poll::Pending
    });
    match answer.await {
        Ok(Answer::Reply(reply)) => Outcome::Replied(reply),
        Ok(Answer::Failed(failure)) => Outcome::Replied(Err(FrameFailure::from(&failure))),
        Ok(Answer::Untaken) | Err(Turned::Unattended) => Outcome::NoResponders,
        Ok(Answer::Abandoned) => Outcome::Abandoned,
        Err(Turned::Full) => Outcome::Full,
        Err(Turned::Closed) => Outcome::Closed,
    }
}

impl FrameResponder for Seat<Frame, Reply> {
    fn next(&self) -> BoxFuture<'_, Option<FrameRequest>> {
        Box::pin(async {
            let request = self.request().await?;
            Some(FrameRequest {
                question: request.envelope.event,
                id: format!("{}#{}", self.desk().topic(), request.sequence),
                reply_to: Box::new(request.taken),
            })
        })
    }

    fn stop(&self) {
        self.rise();
    }
}

impl ReplyTo for Taken<Reply> {
    fn reply(self: Box<Self>, reply: Reply) -> BoxFuture<'static, ()> {
        self.answer(Answer::Reply(reply));
        Box::pin(ready(()))
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        Taken::poll_gone(self, cx)
    }
}
