//! What is found at the name of a topic or an endpoint: what is in this process, or a link.

use std::panic::Location;
use std::sync::Arc;

use super::{Bus, Opening, Port};
use crate::desk::Desk;
use crate::link::Link;
use crate::request::Remote;
use crate::topic::Codec;
use crate::{BusError, Endpoint, Event, Log, Topic};

pub(crate) enum Opened<E> {
    Log(Log<E>),
    Link(Arc<dyn Link>, Codec<E>),
}

pub(crate) fn open<B: Bus + ?Sized, E: Event>(
    bus: &B,
    topic: &Topic<E>,
    place: &'static Location<'static>,
) -> Result<Opened<E>, BusError> {
    let opening = Opening::new(topic, place);
    opening.check_name()?;
    match bus.open(&opening)? {
        Port::Log(log) => log.typed(&opening).map(Opened::Log),
        Port::Link(link) => match topic.codec() {
            Some(codec) => Ok(Opened::Link(link, codec)),
            None => Err(opening.in_process_only()),
        },
        Port::Endpoint(_) => Err(opening.unsupported("events")),
    }
}

pub(super) enum OpenedEndpoint<Q, R> {
    Desk(Arc<Desk<Q, R>>),
    Link(Remote<Q, R>),
}

pub(super) fn open_endpoint<B: Bus + ?Sized, Q: Send + 'static, R: Send + 'static>(
    bus: &B,
    endpoint: &Endpoint<Q, R>,
    place: &'static Location<'static>,
) -> Result<OpenedEndpoint<Q, R>, BusError> {
    let opening = Opening::at(endpoint, place);
    opening.check_name()?;
    match bus.open(&opening)? {
        Port::Log(log) => log.desk(&opening).map(OpenedEndpoint::Desk),
        Port::Link(_) => Err(opening.unsupported("requests")),
        Port::Endpoint(link) => match endpoint.codecs() {
            Some(codecs) => Ok(OpenedEndpoint::Link(Remote {
                endpoint: endpoint.name().into(),
                link,
                codecs,
            })),
            None => Err(opening.in_process_only()),
        },
    }
}
