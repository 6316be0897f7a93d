//! What is to be told of a service, kept until the bus takes it: so a bus that is full holds up
//! the telling, and never the service.

use coord_bus::Publisher;
use coord_bus::vocabulary::{ProcessHealth, ServiceLifecycle};
use tokio::sync::{mpsc, watch};
use tokio::try_join;

use super::ServiceError;

/// How many states there are to tell of at most while a process runs: that it is started, that it
/// is ready, and that it failed a probe.
const STATES: usize = 3;

/// Where news go in.
#[derive(Debug)]
pub(super) struct News {
    states: mpsc::Sender<ServiceLifecycle>,
    health: watch::Sender<Option<ProcessHealth>>,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct Untold {
    states: mpsc::Receiver<ServiceLifecycle>,
    health: watch::Receiver<Option<ProcessHealth>>,
}

pub(super) fn news() -> (News, Untold) {
    let (to_states, states) = mpsc::channel(STATES);
    let (to_health, health) = watch::channel(None);
    let news = News {
        states: to_states,
        health: to_health,
    };
    (news, Untold { states, health })
}

impl News {
    pub(super) fn state(&self, state: ServiceLifecycle) {
        // There is room for all; and when nobody tells any more, the process is being killed.
        let _ = self.states.try_send(state);
    }

    /// Of answers that come while the bus is full, only the last is kept.
    pub(super) fn health(&self, health: ProcessHealth) {
        self.health.send_replace(Some(health));
    }
}

impl Untold {
    /// Publishes what comes until no more does; of answers, those that differ from the last one.
    pub(super) async fn tell(
        self,
        lifecycle: &Publisher<ServiceLifecycle>,
        health: &Publisher<ProcessHealth>,
    ) -> Result<(), ServiceError> {
        let Self {
            mut states,
            health: mut answers,
        } = self;
        let telling_states = async {
            while let Some(state) = states.recv().await {
                let service = state.service.clone();
                let told = lifecycle.publish(state).await;
                told.map_err(|refused| ServiceError::unpublished(&service, refused))?;
            }
            Ok(())
        };
        let telling_health = async {
            let mut last: Option<ProcessHealth> = None;
            while answers.changed().await.is_ok() {
                let answer = answers.borrow_and_update().clone();
                let Some(answer) = answer.filter(|answer| !is_told(last.as_ref(), answer)) else {
                    continue;
                };
                let told = health.publish(answer.clone()).await;
                told.map_err(|refused| ServiceError::unpublished(&answer.process, refused))?;
                last = Some(answer);
            }
            Ok(())
        };
        // An answer is told before the state that follows from it.
        try_join!(biased; telling_health, telling_states).map(|((), ())| ())
    }
}

fn is_told(last: Option<&ProcessHealth>, answer: &ProcessHealth) -> bool {
    let said = |health: &ProcessHealth| (health.probe, health.healthy, health.answer.clone());
    last.is_some_and(|last| said(last) == said(answer))
}
