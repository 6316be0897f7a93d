//! What the tests stand on: a supervisor on a bus, and children that do as they are told.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Instant, ManualClock};
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery,
};
use coord_bus::{BusExt, LocalBus, Subscriber, Timestamp};
use coord_recovery::{Child, ChildContext, ChildError, ChildSpec, Supervisor};

pub(crate) type Ran = Pin<Box<dyn Future<Output = Result<(), ChildError>> + Send>>;

pub(crate) struct Stage {
    pub(crate) bus: LocalBus,
    pub(crate) supervisor: Supervisor,
    pub(crate) errors: Subscriber<ErrorDetected>,
    pub(crate) recoveries: Subscriber<ErrorRecovery>,
    began: Instant,
}

/// When incarnations started, in milliseconds since the stage was set.
pub(crate) type Starts = Arc<Mutex<Vec<u128>>>;

impl Stage {
    pub(crate) fn new() -> Self {
        let bus = LocalBus::new();
        Self {
            supervisor: Supervisor::new("services", &bus, clock()).expect("the topics are free"),
            errors: bus.subscribe(&ERROR_DETECTED).expect("it is open"),
            recoveries: bus.subscribe(&ERROR_RECOVERY).expect("it is open"),
            began: Instant::now(),
            bus,
        }
    }

    /// Starts a child, and notes when each of its incarnations starts.
    pub(crate) fn start(
        &self,
        spec: ChildSpec,
        mut run: impl FnMut(ChildContext) -> Ran + Send + 'static,
    ) -> (Child, Starts) {
        let starts = Starts::default();
        let (noted, began) = (Arc::clone(&starts), self.began);
        let child = self.supervisor.start(spec, move |context| {
            noted
                .lock()
                .expect("nobody panics with it")
                .push(began.elapsed().as_millis());
            run(context)
        });
        (child.expect("it starts"), starts)
    }

    /// Milliseconds since the stage was set.
    pub(crate) fn now(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// The next error that is published.
    pub(crate) async fn error(&mut self) -> ErrorDetected {
        let error = within(self.errors.recv()).await.expect("the bus is open");
        (*error).clone()
    }

    /// The next step of a recovery that is published.
    pub(crate) async fn recovery(&mut self) -> Recovery {
        let event = within(self.recoveries.recv()).await;
        event.expect("the bus is open").progress.clone()
    }

    /// How many errors were published that were not taken yet.
    pub(crate) fn errors_left(&mut self) -> usize {
        std::iter::from_fn(|| self.errors.try_recv().ok().map(drop)).count()
    }

    /// How many steps of recoveries were published that were not taken yet.
    pub(crate) fn recoveries_left(&mut self) -> usize {
        std::iter::from_fn(|| self.recoveries.try_recv().ok().map(drop)).count()
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))
}

pub(crate) fn at(starts: &Starts) -> Vec<u128> {
    starts.lock().expect("nobody panics with it").clone()
}

/// Runs until it is asked to stop.
pub(crate) fn stays(context: ChildContext) -> Ran {
    Box::pin(async move {
        context.token().cancelled().await;
        Ok(())
    })
}

/// Says that it is ready, and runs until it is asked to stop.
pub(crate) fn serves(context: ChildContext) -> Ran {
    context.ready();
    stays(context)
}

/// Runs, whatever it is asked.
pub(crate) fn ignores(_context: ChildContext) -> Ran {
    Box::pin(std::future::pending())
}

/// Fails at once.
pub(crate) fn fails(_context: ChildContext) -> Ran {
    Box::pin(async { Err(ChildError::message("the port is taken")) })
}

/// Ends well at once.
pub(crate) fn ends(_context: ChildContext) -> Ran {
    Box::pin(async { Ok(()) })
}

/// Runs for a while and fails.
pub(crate) fn fails_after(run: Duration) -> Ran {
    Box::pin(async move {
        coord_bus::time::sleep(run).await;
        Err(ChildError::message("the port is taken"))
    })
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets this much time pass, during which everything else goes on.
pub(crate) async fn pass(time: Duration) {
    coord_bus::time::sleep(time).await;
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let patience = coord_bus::time::timeout(seconds(1_000_000), future);
    patience.await.expect("it comes in time")
}
