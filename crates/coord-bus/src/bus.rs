//! The bus: an object-safe trait that opens topics, and the typed handles built on it.

mod drained;
mod opened;
mod port;

use std::any::{TypeId, type_name};
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::desk::Door;
use crate::pattern::Inbox;
use crate::request::Entrance;
use crate::topic::{DEFAULT_CAPACITY, name_fault};
use crate::{
    BusError, Delivery, Description, Endpoint, Event, Failure, GroupMember, Handler,
    HandlerOptions, Pattern, PatternOptions, PatternSubscriber, Publisher, Requester, Responder,
    SubscribeOptions, Subscriber, Topic, TopicStats, Watch, Watching,
};
pub use drained::Drained;
pub(crate) use opened::{Opened, open};
use opened::{OpenedEndpoint, open_endpoint};
pub use port::{AnyLog, Port};
use port::{MakeLog, link_failed};

/// A bus: topics by name.
///
/// Object-safe, so that a part of a program takes `&dyn Bus` or `Arc<dyn Bus>` and does not care
/// which bus it is; a publish through handles opened so costs what the log itself costs. Users
/// call [`BusExt`]; who writes a bus implements this.
pub trait Bus: Send + Sync {
    /// Opens a topic: the first opening makes it, and later ones must agree with the first.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError>;

    /// Subscribes a pattern to all topics that match it, now and later: see
    /// [`Watchers`](crate::Watchers), which does that for who writes a bus.
    ///
    /// # Errors
    ///
    /// [`BusError::Link`] where a link takes no subscriber.
    fn watch(&self, watch: Watch) -> Result<Watching, BusError>;

    /// What every topic has counted, by name.
    fn stats(&self) -> Vec<TopicStats>;

    /// Shows what every topic has counted, one after the other, by name: [`stats`](Self::stats) for
    /// who keeps little of it. A bus of many topics has no list to make of them then, and may fill
    /// in the same counts again for the next one. While it shows them it holds no lock.
    fn for_each_stats(&self, show: &mut dyn FnMut(&TopicStats)) {
        self.stats().iter().for_each(show);
    }

    /// Shuts the entrance of every topic, now and for good. Subscribers still get what has been
    /// accepted, and then `None`; requests that have been accepted are still answered.
    fn close(&self);

    /// Whether the bus is closed, and not only some of its topics.
    fn is_closed(&self) -> bool;

    /// [`close`](Self::close)s the bus and waits until every subscriber has got everything and
    /// every request has been taken by a responder, at most for `deadline`.
    ///
    /// It does not wait until what was received has been dealt with, nor until what was taken has
    /// been answered: whoever reads knows that, and [`Handler::drain`] and [`Responder::drain`] wait
    /// for it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the bus is closed and nothing is lost.
    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained>;
}

/// A bus that is shared is the same bus.
impl<B: Bus + ?Sized> Bus for Arc<B> {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        (**self).open(topic)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        (**self).watch(watch)
    }

    fn stats(&self) -> Vec<TopicStats> {
        (**self).stats()
    }

    fn for_each_stats(&self, show: &mut dyn FnMut(&TopicStats)) {
        (**self).for_each_stats(show);
    }

    fn close(&self) {
        (**self).close();
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        (**self).drain(deadline)
    }
}

/// What a bus is told of a topic that it is to open: its name, and (privately) its type.
pub struct Opening<'a> {
    name: &'a str,
    capacity: Option<NonZeroUsize>,
    retain: Option<usize>,
    type_id: TypeId,
    type_name: &'static str,
    bytes: bool,
    is_endpoint: bool,
    place: &'static Location<'static>,
    maker: &'a dyn MakeLog,
}

impl<'a> Opening<'a> {
    fn new<E: Event>(topic: &'a Topic<E>, place: &'static Location<'static>) -> Self {
        Self {
            name: topic.name(),
            capacity: topic.stated_capacity(),
            retain: topic.stated_retain(),
            type_id: TypeId::of::<E>(),
            type_name: type_name::<E>(),
            bytes: topic.codec().is_some(),
            is_endpoint: false,
            place,
            maker: topic,
        }
    }

    /// The requests of an endpoint go to one each, so they need no log but a [`Desk`].
    fn at<Q: Send + 'static, R: Send + 'static>(
        endpoint: &'a Endpoint<Q, R>,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            bytes: endpoint.codecs().is_some(),
            is_endpoint: true,
            maker: endpoint,
            ..Self::new(endpoint.topic(), place)
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name of its events' type, for people.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The capacity that the topic states, or else [`DEFAULT_CAPACITY`].
    pub fn capacity(&self) -> usize {
        self.capacity.map_or(DEFAULT_CAPACITY, NonZeroUsize::get)
    }

    /// How many of its last events the topic keeps; none unless it states it.
    pub fn retain(&self) -> usize {
        self.retain.unwrap_or(0)
    }

    /// Where it is being opened.
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// Whether its events can become bytes, or its questions and replies.
    pub fn crosses_processes(&self) -> bool {
        self.bytes
    }

    /// Whether requests go through it, and no events: a bus that carries bytes gives a
    /// [`Port::Endpoint`] then.
    pub fn is_endpoint(&self) -> bool {
        self.is_endpoint
    }

    fn check_name(&self) -> Result<(), BusError> {
        match name_fault(self.name) {
            None => Ok(()),
            Some(fault) => Err(BusError::InvalidName {
                name: self.name.to_owned(),
                fault,
            }),
        }
    }

    fn in_process_only(&self) -> BusError {
        BusError::InProcessOnly {
            topic: self.name.to_owned(),
            event: self.type_name,
        }
    }

    fn unsupported(&self, what: &'static str) -> BusError {
        BusError::Unsupported {
            topic: self.name.to_owned(),
            what,
        }
    }

    /// A new log of the topic's type, for a bus that keeps its topics in this process.
    pub fn make_log(&self) -> AnyLog {
        self.make_log_keeping(0)
    }

    /// [`make_log`](Self::make_log), with at least the last `keep` events kept for who looks back.
    pub(crate) fn make_log_keeping(&self, keep: usize) -> AnyLog {
        AnyLog::of(self, keep)
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Opening")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Typed handles on any bus.
pub trait BusExt: Bus {
    /// A publisher to a topic. Resolve it once, publish many times.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn publisher<E: Event>(&self, topic: &Topic<E>) -> Result<Publisher<E>, BusError> {
        Ok(match open(self, topic, Location::caller())? {
            Opened::Log(log) => Publisher::to_log(log.enter(Location::caller())),
            Opened::Link(link, codec) => Publisher::to_link(topic.name().into(), link, codec),
        })
    }

    /// A subscriber that loses nothing to what is published from now on.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn subscribe<E: Event>(&self, topic: &Topic<E>) -> Result<Subscriber<E>, BusError> {
        self.subscribe_with(topic, SubscribeOptions::default())
    }

    /// A subscriber that is told what to do when it falls behind, for one.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn subscribe_with<E: Event>(
        &self,
        topic: &Topic<E>,
        options: impl Into<SubscribeOptions<E>>,
    ) -> Result<Subscriber<E>, BusError> {
        let (options, place) = (options.into(), Location::caller());
        match open(self, topic, place)? {
            Opened::Log(log) => Ok(log.subscribe_at(&options, place)),
            Opened::Link(link, codec) => match link.subscribe(options.on_frames(codec)) {
                Ok(frames) => Ok(Subscriber::of_link(topic.name().into(), frames, codec)),
                Err(error) => Err(link_failed(topic.name(), error)),
            },
        }
    }

    /// Calls a function with each event, one after another: see [`on_with`](Self::on_with).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use coord_bus::{BusExt, Delivery, Failure, LocalBus, Topic};
    ///
    /// const ORDERS: Topic<u64> = Topic::new("orders");
    ///
    /// let bus = LocalBus::new();
    /// let handler = bus.on(&ORDERS, |order: Delivery<u64>| async move {
    ///     if *order == 13 {
    ///         return Err(Failure::message("unlucky").permanent());
    ///     }
    ///     Ok(())
    /// })?;
    /// let orders = bus.publisher(&ORDERS)?;
    /// for order in [12, 13, 14] {
    ///     orders.publish(order).await?;
    /// }
    /// let report = handler.drain(Duration::from_secs(5)).await;
    /// assert_eq!((report.handled, report.dead), (2, 1));
    /// let mut dead = bus.subscribe(&ORDERS.dead_letters())?;
    /// assert_eq!(dead.recv().await.unwrap().error, ["unlucky"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. In one without timers, an attempt that has to wait for room to publish panics, and has failed.
    #[track_caller]
    fn on<E, F, Fut, X>(&self, topic: &Topic<E>, handle: F) -> Result<Handler, BusError>
    where
        E: Event,
        F: Fn(Delivery<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        self.on_with(topic, &HandlerOptions::default(), handle)
    }

    /// Calls a function with each event of a topic, on tasks that the [`Handler`] owns.
    ///
    /// An event whose handler fails, or panics, is tried again after the options' backoff; the last
    /// failure, or one that is [`permanent`](Failure::permanent), makes it a dead letter
    /// ([`Topic::dead_letters`]), and the next event is handled. What the handler publishes follows
    /// from the event, and waits for room like what others publish, so that it keeps to the pace of
    /// who is slower. But it does not wait for itself: a handler that publishes to its own topic, or
    /// around a ring of topics, is refused where that is full
    /// ([`Refusal::Ring`](crate::Refusal::Ring)); what it does about that is its decision, and failing
    /// is one, as it is then tried again. So it is where the slowest subscriber stands still for 30 s: see
    /// [`Cause::run`](crate::Cause::run).
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    fn on_with<E, F, Fut, X>(
        &self,
        topic: &Topic<E>,
        options: &HandlerOptions,
        handle: F,
    ) -> Result<Handler, BusError>
    where
        E: Event,
        F: Fn(Delivery<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        let place = Location::caller();
        let name = match &options.name {
            Some(name) => Arc::clone(name),
            None => place.to_string().into(),
        };
        let dead_letters = self.publisher(&topic.dead_letters())?;
        let member = match &options.group {
            Some(group) => self.join_group(topic, group)?,
            None => {
                let options = SubscribeOptions::from(options.overflow).named(Arc::clone(&name));
                GroupMember::alone(self.subscribe_with(topic, options)?)
            }
        };
        let members = vec![member; options.concurrency];
        Ok(Handler::start(
            &name,
            members,
            options,
            dead_letters,
            handle,
        ))
    }

    /// A handle to make requests at an endpoint.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn requester<Q: Send + 'static, R: Send + 'static>(
        &self,
        endpoint: &Endpoint<Q, R>,
    ) -> Result<Requester<Q, R>, BusError> {
        let place = Location::caller();
        Ok(Requester::new(
            match open_endpoint(self, endpoint, place)? {
                OpenedEndpoint::Desk(desk) => Entrance::Desk(Door::open(&desk, Some(place))),
                OpenedEndpoint::Link(remote) => Entrance::Link(Arc::new(remote)),
            },
        ))
    }

    /// Answers requests at an endpoint, one at a time: see [`respond_with`](Self::respond_with).
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    fn respond<Q, R, F, Fut, X>(
        &self,
        endpoint: &Endpoint<Q, R>,
        answer: F,
    ) -> Result<Responder, BusError>
    where
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        self.respond_with(endpoint, 1, answer)
    }

    /// Answers requests at an endpoint, at most `concurrency` at once (zero counts as one, and more
    /// than 10,000 as that), each on a task that the [`Responder`] owns. Of all responders of an
    /// endpoint, each request goes to one.
    ///
    /// A function that fails or panics answers with that ([`RequestError::Failed`]); it is not tried
    /// again, as who asked knows better whether that is worth it. When whoever asked goes, or its
    /// deadline passes, the function is dropped where it awaits. What it publishes follows from the
    /// request: see [`Cause::run`](crate::Cause::run).
    ///
    /// [`RequestError::Failed`]: crate::RequestError::Failed
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    fn respond_with<Q, R, F, Fut, X>(
        &self,
        endpoint: &Endpoint<Q, R>,
        concurrency: usize,
        answer: F,
    ) -> Result<Responder, BusError>
    where
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        let place = Location::caller();
        match open_endpoint(self, endpoint, place)? {
            OpenedEndpoint::Desk(desk) => Ok(Responder::at_desk(&desk, place, concurrency, answer)),
            OpenedEndpoint::Link(remote) => match remote.link.respond() {
                Ok(frames) => Ok(Responder::over_link(remote, frames, concurrency, answer)),
                Err(error) => Err(link_failed(endpoint.name(), error)),
            },
        }
    }

    /// A member of the group of this name, which shares the topic's events with the others: each
    /// event goes to one of them. The first to join makes the group. What a member does not
    /// acknowledge [comes back](GroupMember#what-comes-back), a few times.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, LocalBus, Topic};
    ///
    /// const MAILS: Topic<String> = Topic::new("mails");
    ///
    /// let bus = LocalBus::new();
    /// let (one, other) = (bus.join_group(&MAILS, "senders")?, bus.join_group(&MAILS, "senders")?);
    /// bus.publisher(&MAILS)?.publish("hello".to_owned()).await?;
    ///
    /// let mail = one.recv().await.unwrap();
    /// drop(mail); // could not be sent from here
    /// let mail = other.recv().await.unwrap();
    /// assert_eq!((&**mail, mail.attempt()), ("hello", 2));
    /// mail.acknowledge();
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn join_group<E: Event>(
        &self,
        topic: &Topic<E>,
        group: &str,
    ) -> Result<GroupMember<E>, BusError> {
        let place = Location::caller();
        let member = match open(self, topic, place)? {
            Opened::Log(log) => log.join_group_at(group.into(), place),
            Opened::Link(link, codec) => match link.join(group) {
                Ok(frames) => GroupMember::of_link(topic.name().into(), frames, codec),
                Err(error) => return Err(link_failed(topic.name(), error)),
            },
        };
        Ok(match topic.is_of_dead_letters() {
            true => member,
            false => member.with_dead_letters(group, self.publisher(&topic.dead_letters())?),
        })
    }

    /// A subscriber to all topics whose names match a [`Pattern`], those that there are and those
    /// that are opened later. Their events may be of any type.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, LocalBus, Overflow, Topic};
    ///
    /// const EXITS: Topic<i32> = Topic::new("process.exit");
    ///
    /// let bus = LocalBus::new();
    /// let mut processes = bus.subscribe_pattern("process.>", Overflow::Block)?;
    /// bus.publisher(&EXITS)?.publish(7).await?; // a topic that was not there before
    ///
    /// let event = processes.recv().await.unwrap();
    /// assert_eq!(event.topic(), "process.exit");
    /// assert_eq!(event.to_json()?, b"7");
    /// assert_eq!(event.downcast_ref::<i32>(), Some(&7));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`BusError::InvalidPattern`], and [`BusError::Link`] where a link takes no subscriber.
    #[track_caller]
    fn subscribe_pattern(
        &self,
        pattern: impl AsRef<str>,
        options: impl Into<PatternOptions>,
    ) -> Result<PatternSubscriber, BusError> {
        let pattern = Pattern::new(pattern.as_ref())?;
        let inbox = Inbox::new(pattern, options.into(), Location::caller());
        let inbox = Arc::new(inbox);
        let watching = self.watch(Watch::of(&inbox))?;
        Ok(PatternSubscriber::new(inbox, watching))
    }

    /// Who publishes what to whom on this bus now, to be read, drawn or kept.
    fn describe(&self) -> Description {
        Description {
            topics: self.stats(),
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}
