//! How a bus and a subscriber of a pattern find each other: the bus keeps [`Watchers`], which
//! attach each topic that matches to the inbox of each pattern, when either is new.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::{AnySource, Pattern, PatternOptions};
use crate::{BusError, Port};

/// A pattern that is to be subscribed: see [`Bus::watch`](crate::Bus::watch).
pub struct Watch(Arc<Inbox>);

impl Watch {
    pub(crate) fn of(inbox: &Arc<Inbox>) -> Self {
        Self(Arc::clone(inbox))
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.0.pattern
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Watch")
            .field(self.pattern())
            .finish()
    }
}

/// The patterns that are subscribed on a bus. Who writes a bus keeps one beside its table of
/// topics, and calls it while the table is locked: so nobody misses a topic or gets it twice.
///
/// Dropping it ends the subscribers of patterns, as [`close`](Self::close) does.
#[derive(Default)]
pub struct Watchers {
    watched: Arc<Watched>,
}

/// The inboxes of a bus.
#[derive(Default)]
struct Watched(Mutex<Inboxes>);

#[derive(Default)]
struct Inboxes {
    open: Vec<Arc<Inbox>>,
    closed: bool,
}

impl Watchers {
    /// No patterns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Subscribes a pattern to the topics that there are, `topics`, and to those that are opened
    /// later. To be called while no topic can be opened.
    ///
    /// # Errors
    ///
    /// [`BusError::Link`] where a link takes no subscriber; then nothing is subscribed.
    pub fn watch<'a>(
        &self,
        watch: Watch,
        topics: impl IntoIterator<Item = (&'a str, Port)>,
    ) -> Result<Watching, BusError> {
        let Watch(inbox) = watch;
        let topics = topics.into_iter();
        let matching = topics.filter(|(topic, _)| inbox.pattern.matches(topic));
        let mut matching: Vec<_> = matching.collect();
        // So that their turns do not depend on how the bus keeps them.
        matching.sort_unstable_by_key(|(topic, _)| *topic);
        for (topic, port) in matching {
            let source = inbox.subscribe(topic, &port)?;
            // Nobody waits yet.
            inbox.attach(source);
        }
        let mut inboxes = self.watched.lock();
        match inboxes.closed {
            true => inbox.lock().closed = true,
            false => inboxes.open.push(Arc::clone(&inbox)),
        }
        drop(inboxes);
        Ok(Watching {
            watched: Arc::downgrade(&self.watched),
            inbox,
        })
    }

    /// Subscribes the patterns that match to a topic that is being opened. To be called before
    /// anybody else can see the topic; once the table's lock is released, what comes back is to be
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`BusError::Link`] where the link takes no subscriber: then nothing is subscribed, and the
    /// topic should not be opened, for the patterns would miss its events.
    pub fn opened(&self, topic: &str, port: &Port) -> Result<Attached, BusError> {
        let inboxes = self.watched.lock();
        let mut sources = Vec::new();
        for inbox in &inboxes.open {
            if inbox.pattern.matches(topic) {
                sources.push((inbox, inbox.subscribe(topic, port)?));
            }
        }
        let attached = sources.into_iter();
        let wakers = attached.filter_map(|(inbox, source)| inbox.attach(source));
        Ok(Attached(wakers.collect()))
    }

    /// No topic will be opened any more: subscribers of patterns receive what is left, and then
    /// `None`. To be called while no topic can be opened, or once none can be.
    pub fn close(&self) {
        self.watched.close();
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inboxes = self.watched.lock();
        let patterns = inboxes.open.iter().map(|inbox| &inbox.pattern);
        formatter.debug_set().entries(patterns).finish()
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut inboxes = self.lock();
        inboxes.closed = true;
        let open = mem::take(&mut inboxes.open);
        drop(inboxes);
        for inbox in open {
            inbox.close();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.close();
    }
}

/// A pattern as its bus knows it. Dropped, the bus knows it no more.
#[must_use = "the pattern is subscribed as long as this is kept"]
pub struct Watching {
    watched: Weak<Watched>,
    inbox: Arc<Inbox>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(watched) = self.watched.upgrade() {
            let mut inboxes = watched.lock();
            inboxes.open.retain(|open| !Arc::ptr_eq(open, &self.inbox));
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = &self.inbox.pattern;
        formatter.debug_tuple("Watching").field(pattern).finish()
    }
}

/// The subscribers to which a new topic was attached: woken when this is dropped.
#[must_use = "to be dropped once the lock of the table is released"]
pub struct Attached(Vec<Waker>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let woken = self.0.len();
        formatter.debug_tuple("Attached").field(&woken).finish()
    }
}

/// What others leave for the subscriber of a pattern.
pub(crate) struct Inbox {
    pattern: Pattern,
    options: PatternOptions,
    place: &'static Location<'static>,
    mail: Mutex<Mail>,
}

#[derive(Default)]
pub(super) struct Mail {
    /// Topics that are new to it.
    pub(super) fresh: Vec<Box<dyn AnySource>>,
    /// The topics that have something again, each once.
    pub(super) woken: Vec<usize>,
    /// Whether no more topics come.
    pub(super) closed: bool,
    /// Who sleeps.
    waker: Option<Waker>,
}

impl Inbox {
    pub(crate) fn new(
        pattern: Pattern,
        options: PatternOptions,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            pattern,
            options,
            place,
            mail: Mutex::default(),
        }
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, topic: &str, port: &Port) -> Result<Box<dyn AnySource>, BusError> {
        let name = match &self.options.name {
            Some(name) => Arc::clone(name),
            None => self.pattern.as_str().into(),
        };
        port.subscribe_any(topic, self.options.overflow, name, self.place)
    }

    /// Who is to be woken, if it sleeps.
    fn attach(&self, source: Box<dyn AnySource>) -> Option<Waker> {
        let mut mail = self.lock();
        mail.fresh.push(source);
        mail.waker.take()
    }

    pub(super) fn close(&self) {
        let mut mail = self.lock();
        mail.closed = true;
        let waker = mail.waker.take();
        drop(mail);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The topic of this number has something.
    pub(super) fn notify(&self, id: usize) {
        let mut mail = self.lock();
        mail.woken.push(id);
        let waker = mail.waker.take();
        drop(mail);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Leaves a waker for the next mail, unless there is some: whether it did. `through`: there is
    /// no topic left to wait for.
    pub(super) fn sleep(&self, waker: &Waker, through: bool) -> bool {
        let mut mail = self.lock();
        if !mail.fresh.is_empty() || !mail.woken.is_empty() || (mail.closed && through) {
            return false;
        }
        let replaced = match &mut mail.waker {
            Some(old) if old.will_wake(waker) => None,
            left => left.replace(waker.clone()),
        };
        drop(mail);
        // Outside the lock: what it does when it is dropped is its own business.
        drop(replaced);
        true
    }
}
