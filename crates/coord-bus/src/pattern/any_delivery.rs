//! Events of types that their subscriber does not know.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use serde::de::DeserializeOwned;

use crate::link::FrameSource;
use crate::log::More;
use crate::topic::Codec;
use crate::{AnyDeliveryError, Delivery, Event, Ledger, Meta, Received, Subscriber};

/// A received event of a type that its subscriber need not know. Owned, and cheap to clone.
///
/// [`to_json`](Self::to_json) and [`decode`](Self::decode) do the same on every bus. In one
/// process an event is what was published, and [`downcast_ref`](Self::downcast_ref) lends it; on a
/// bus that carries bytes it is the bytes, and has no type until it is decoded.
///
/// Keeping one keeps the chunk alive that it was published in: at most 128 events.
#[derive(Clone)]
pub struct AnyDelivery(Arc<dyn ErasedDelivery>);

impl AnyDelivery {
    /// The name of the topic that it came through.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'_> {
        self.0.meta()
    }

    /// How many events of its topic just before this one the subscriber did not get.
    pub fn lag(&self) -> u64 {
        self.0.lag()
    }

    /// The event, if it is of this type; never on a bus that carries bytes.
    pub fn downcast_ref<E: Event>(&self) -> Option<&E> {
        self.0.event().downcast_ref()
    }

    /// The event as JSON: what it was carried as, or what its topic makes of it now.
    ///
    /// # Errors
    ///
    /// [`AnyDeliveryError::InProcessOnly`] if the topic was first opened as
    /// [`in_process`](crate::Topic::in_process), [`AnyDeliveryError::Encode`] if its serde fails.
    pub fn to_json(&self) -> Result<Vec<u8>, AnyDeliveryError> {
        self.0.to_json()
    }

    /// The event as a value of this type, made from its JSON: of the type that was published, or
    /// any that reads the same.
    ///
    /// # Errors
    ///
    /// Those of [`to_json`](Self::to_json), and [`AnyDeliveryError::Decode`].
    pub fn decode<E: DeserializeOwned>(&self) -> Result<E, AnyDeliveryError> {
        let json = self.to_json()?;
        serde_json::from_slice(&json).map_err(|source| AnyDeliveryError::Decode {
            id: self.meta().id().into_owned(),
            asked: type_name::<E>(),
            source,
        })
    }
}

impl fmt::Debug for AnyDelivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnyDelivery")
            .field("topic", &self.topic())
            .field("sequence", &self.meta().sequence())
            .finish_non_exhaustive()
    }
}

trait ErasedDelivery: Send + Sync {
    fn topic(&self) -> &str;
    fn meta(&self) -> Meta<'_>;
    fn lag(&self) -> u64;
    fn event(&self) -> &dyn Any;
    fn to_json(&self) -> Result<Vec<u8>, AnyDeliveryError>;
}

struct TypedDelivery<E> {
    delivery: Delivery<E>,
    codec: Option<Codec<E>>,
}

impl<E: Event> ErasedDelivery for TypedDelivery<E> {
    fn topic(&self) -> &str {
        self.delivery.topic()
    }

    fn meta(&self) -> Meta<'_> {
        self.delivery.meta()
    }

    fn lag(&self) -> u64 {
        self.delivery.lag()
    }

    fn event(&self) -> &dyn Any {
        &*self.delivery
    }

    fn to_json(&self) -> Result<Vec<u8>, AnyDeliveryError> {
        let Some(codec) = self.codec else {
            return Err(AnyDeliveryError::InProcessOnly {
                topic: self.topic().to_owned(),
                event: type_name::<E>(),
            });
        };
        (codec.encode)(&self.delivery).map_err(|source| AnyDeliveryError::Encode {
            id: self.meta().id().into_owned(),
            source,
        })
    }
}

/// A subscriber to one topic, of whose type nothing is known.
pub(crate) trait AnySource: Send + Sync {
    /// The next event, if there is one already; or else the waker is woken once there is.
    fn next(&mut self, waker: &Waker) -> More<AnyDelivery>;
    /// Takes nothing that is published from now on.
    fn close(&mut self);
    fn ledger(&self) -> Ledger;
}

/// Of a topic of which nothing is for a pattern.
pub(crate) struct Nothing;

impl AnySource for Nothing {
    fn next(&mut self, _waker: &Waker) -> More<AnyDelivery> {
        More::Closed
    }

    fn close(&mut self) {}

    fn ledger(&self) -> Ledger {
        Ledger::default()
    }
}

/// A subscriber, and how its events become bytes, if they can.
pub(crate) struct TypedSource<E> {
    pub(crate) subscriber: Subscriber<E>,
    pub(crate) codec: Option<Codec<E>>,
}

impl<E: Event> AnySource for TypedSource<E> {
    fn next(&mut self, waker: &Waker) -> More<AnyDelivery> {
        let next = self.subscriber.next(Some(waker));
        next.map(Received::into_delivery).map(|delivery| {
            let codec = self.codec;
            AnyDelivery(Arc::new(TypedDelivery { delivery, codec }))
        })
    }

    fn close(&mut self) {
        self.subscriber.close();
    }

    fn ledger(&self) -> Ledger {
        self.subscriber.ledger()
    }
}

/// An event that stays the bytes that it was carried as.
struct Payload(Vec<u8>);

const PAYLOAD: Codec<Payload> = Codec {
    encode: |payload| Ok(payload.0.clone()),
    decode: |bytes| Ok(Payload(bytes.to_vec())),
};

/// The frames of a link.
pub(crate) fn source_of_frames(topic: &str, frames: Box<dyn FrameSource>) -> Box<dyn AnySource> {
    Box::new(TypedSource {
        subscriber: Subscriber::of_link(topic.into(), frames, PAYLOAD),
        codec: Some(PAYLOAD),
    })
}
