//! Who has lost a run, and does not know it yet, is told from who has it now by what is written to.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{Fence, Fenced, LocalBus, TaskScope};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, Keeps, Repeat, Round, RunId, StepContext, StepError, Workflow,
    WorkflowBuilder, WorkflowOrchestrator,
};
use tokio::time::advance;

use crate::durable::Machine;
use crate::ownership::reached;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// What steps write to, and what is on its way there, whatever becomes of them.
#[derive(Clone)]
struct Store(Arc<Mutex<Written>>, Arc<TaskScope>);

#[derive(Default)]
struct Written {
    fence: Fence,
    /// The tokens with which something was written.
    tokens: Vec<u64>,
    refused: Vec<Fenced>,
}

impl Store {
    fn new() -> Self {
        Self(Arc::default(), Arc::new(TaskScope::new("on its way")))
    }

    fn write(&self, context: &StepContext) {
        let token = context.fencing_token();
        let mut written = self.0.lock().unwrap();
        match written.fence.admit(token) {
            Ok(()) => written.tokens.push(token),
            Err(fenced) => written.refused.push(fenced),
        }
    }

    fn write_after(&self, wait: Duration, context: StepContext) {
        let store = self.clone();
        self.1.spawn("a write", async move {
            sleep(wait).await;
            store.write(&context);
        });
    }

    fn take(&self) -> (Vec<u64>, Vec<Fenced>) {
        let written = &mut *self.0.lock().unwrap();
        let taken = (&mut written.tokens, &mut written.refused);
        (std::mem::take(taken.0), std::mem::take(taken.1))
    }
}

/// `list`, `each` of its two items, a `loop` of two rounds, and `last`, which writes once more after the first time, and
/// takes the second.
fn workflow<K>(
    mut workflow: WorkflowBuilder<(), K>,
    store: &Store,
    (writes_after, takes): (Duration, Duration),
) -> Workflow<(), K>
where
    K: Keeps<()> + Keeps<Vec<u32>> + Keeps<u32>,
{
    let written = store.clone();
    let list = workflow.step("list").run_with(move |context| {
        written.write(&context);
        async { Ok::<Vec<u32>, StepError>(vec![0, 1]) }
    });
    let written = store.clone();
    let each = workflow.step("each").for_each(list);
    let each = each.run_with(move |context, item: u32| {
        written.write(&context);
        async move { Ok::<u32, StepError>(item) }
    });
    let written = store.clone();
    let rounds = workflow
        .step("loop")
        .after(&each)
        .repeat(Repeat::at_most(2));
    let rounds = rounds.run(move |round: Round<()>| {
        written.write(&round.context);
        let is_last = round.number() == 2;
        let end = if is_last { Break(()) } else { Continue(()) };
        std::future::ready(Ok::<_, StepError>(end))
    });
    let written = store.clone();
    workflow
        .step("last")
        .after(&rounds)
        .run_with(move |context| {
            written.write(&context);
            written.write_after(writes_after, context);
            async move {
                sleep(takes).await;
                Ok::<(), StepError>(())
            }
        });
    workflow.build().unwrap()
}

fn durable(store: &Store, times: (Duration, Duration)) -> Workflow<(), Durable> {
    workflow(Workflow::durable("w"), store, times)
}

#[tokio::test(start_paused = true)]
async fn who_has_taken_a_run_up_has_a_larger_token_and_what_the_one_before_writes_late_is_refused()
{
    let (machine, store) = (Machine::new(), Store::new());
    // Cut off from its leases, it loses the run; what its step had sent arrives all the same.
    let (first, leases) = reached(&machine);
    let first = first.process();
    let slow = durable(&store, (HOUR, HOUR));
    let lost = first.start_durable(&slow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    leases.cut_off(true);
    assert!(lost.outcome().await.is_err());
    // One for all steps, items and rounds, as nobody has taken it up.
    assert_eq!(store.take(), (vec![1; 6], Vec::new()));

    sleep(DEFAULT_LEASE_TTL).await;
    let second = machine.process();
    let quick = durable(&store, (SECOND, 2 * SECOND));
    let run = second.resume_run(&quick, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let (tokens, refused) = store.take();
    assert!(refused.is_empty());
    let [token, again] = tokens[..] else {
        panic!("{tokens:?}");
    };
    assert!(token > 1 && again == token, "{tokens:?}");
    sleep(HOUR).await;
    let (tokens, refused) = store.take();
    assert!(tokens.is_empty());
    assert_eq!((refused[0].token, refused[0].newest), (1, token));
    assert_eq!(refused.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_the_same_while_one_has_the_run_and_larger_each_time_that_it_is_taken_up() {
    let (machine, store) = (Machine::new(), Store::new());
    let workflow = durable(&store, (2 * DEFAULT_LEASE_TTL, HOUR));
    let mut newest = 0;
    for taken_up in 0..4 {
        let process = machine.process();
        process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(SECOND).await;
        // It stands still for longer than its lease, and goes on, as nobody has come meanwhile.
        advance(DEFAULT_LEASE_TTL + SECOND).await;
        sleep(DEFAULT_LEASE_TTL).await;
        let renewed = machine.kinds("r").await;
        let renewed = renewed.iter().filter(|kind| *kind == "owner-renewed");
        assert_eq!(renewed.count(), taken_up + 1);
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
        let (tokens, refused) = store.take();
        assert!(refused.is_empty() && tokens.len() >= 2);
        assert!(
            tokens[0] > newest && tokens.iter().all(|token| *token == tokens[0]),
            "{tokens:?}"
        );
        newest = tokens[0];
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_run_in_memory_the_token_is_that_of_one_that_nobody_has_taken_up() {
    let store = Store::new();
    let workflow = workflow(Workflow::builder("w"), &store, (SECOND, 2 * SECOND));
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(store.take(), (vec![1; 7], Vec::new()));
}
