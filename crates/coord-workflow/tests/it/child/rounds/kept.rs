//! Of runs that are kept.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    AttemptError, Command, DEFAULT_LEASE_TTL, Durable, PartError, Progress, Repeat, Retry, Round,
    RunId, RunQuery, RunState, RunView, Signal, Status, Step, StepError, Why, Workflow,
    WorkflowBuilder, WorkflowError,
};
use serde::{Deserialize, Serialize};

use super::super::error_of;
use super::{Builders, Review, SECOND, World, approving, once, reviewing, until_three};
use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn durable() -> Builders<Durable> {
    (Workflow::durable("approving"), Workflow::durable("review"))
}

fn three(world: &World) -> Workflow<u32, Durable> {
    approving(world, durable(), once(3)).0
}

/// All runs within the run, as any process sees them, in the order of their rounds.
async fn within(machine: &Machine) -> Vec<RunView> {
    let journal = machine.journal();
    let mut within = Vec::new();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        if run != id() {
            within.push(journal.view(&run).await.unwrap());
        }
    }
    within.reverse();
    within.sort_by_key(|view| view.parent.clone().unwrap().part);
    within
}

async fn states(machine: &Machine) -> Vec<RunState> {
    let within = within(machine).await;
    within.into_iter().map(|view| view.state).collect()
}

/// A run of which the second round is under way when its process is killed; with nobody's lease on it any more.
async fn killed() -> (Machine, World) {
    let (machine, world) = (Machine::new(), World::default());
    world.set(5, Review::Holds);
    let process = machine.process();
    let run = process
        .start_durable(&three(&world), id(), 4)
        .await
        .unwrap();
    sleep(5 * SECOND).await;
    let journal = machine.journal().view(&id()).await.unwrap();
    assert_eq!(journal.step("approve"), run.view().unwrap().step("approve"));
    assert_eq!(journal.why("approve"), run.why("approve"));
    drop((run, process));
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(world.take(), ["send 4", "review 4", "send 5", "review 5"]);
    world.set(5, Review::Succeeds);
    (machine, world)
}

/// What is asked for, and what was said of it before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Proposal {
    text: String,
    remarks: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Answer {
    Approved { by: String },
    Refused { remark: String },
}

const ANSWER: Signal<Answer> = Signal::new("answer");

/// `ask`, each round of which writes the proposal, taking up what was said of it, and waits for an answer.
fn asking(world: &World, repeat: Repeat) -> (Workflow<Proposal, Durable>, Step<(String, String)>) {
    let mut round: WorkflowBuilder<Proposal, Durable> = Workflow::durable("asking");
    let (proposal, world) = (round.input(), world.clone());
    let write = round.step("write").input(proposal);
    let write = write.run(move |proposal: Arc<Proposal>| {
        let remarks = proposal.remarks.join(", ");
        world.see(format!("write {} [{remarks}]", proposal.text));
        async { Ok::<_, StepError>(()) }
    });
    let answer = round.step("answer").after(&write).signal(&ANSWER);
    let round = round.build().unwrap();
    let mut workflow = Workflow::durable("approval");
    let proposal = workflow.input();
    let ask = workflow.step("ask").input(proposal).repeat(repeat);
    let ask = ask.workflow(&round, answer, |round| match &*round.output {
        Answer::Approved { by } => Break((round.given.text.clone(), by.clone())),
        Answer::Refused { remark } => Continue(Proposal {
            text: format!("{}'", round.given.text),
            remarks: [&round.given.remarks[..], std::slice::from_ref(remark)].concat(),
        }),
    });
    (workflow.build().unwrap(), ask)
}

fn proposal() -> Proposal {
    Proposal {
        text: "plan".to_owned(),
        remarks: Vec::new(),
    }
}

fn refused(remark: &str) -> Command {
    let remark = remark.to_owned();
    ANSWER.with(Answer::Refused { remark }).unwrap()
}

fn approved() -> Command {
    ANSWER
        .with(Answer::Approved {
            by: "ada".to_owned(),
        })
        .unwrap()
}

/// The run of the round under way, as any process sees it.
async fn asked(machine: &Machine) -> Option<RunId> {
    let view = machine.journal().view(&id()).await.unwrap();
    view.step("ask").unwrap().child.clone()
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_asked_again_in_whichever_process_until_approval_is_given() {
    let (machine, world) = (Machine::new(), World::default());
    let (workflow, ask) = asking(&world, Repeat::at_most(9).every(HOUR));
    // Killed within the first round, …
    let process = machine.process();
    process
        .start_durable(&workflow, id(), proposal())
        .await
        .unwrap();
    sleep(HOUR).await;
    drop(process);
    // … which is answered while nobody drives it, and between it and the second, …
    let first = asked(&machine).await.unwrap();
    assert!(first.as_str().starts_with("r.ask.0-"), "{first}");
    machine
        .journal()
        .tell(&first, refused("longer"))
        .await
        .unwrap();
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    process.resume_run(&workflow, &id()).await.unwrap();
    sleep(HOUR / 2).await;
    assert_eq!(asked(&machine).await, None);
    let why = machine.journal().view(&id()).await.unwrap().why("ask");
    let rounds = Progress::Rounds { done: 1, limit: 9 };
    assert_eq!(why, Some(Why::Progress(rounds)));
    drop(process);
    sleep(HOUR).await;
    assert_eq!(world.take(), ["write plan []"]);
    // … which begins at once, as its hour is over, and is refused, too.
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(SECOND).await;
    let second = asked(&machine).await.unwrap();
    assert_eq!(run.why("ask"), Some(Why::Child(second.clone())));
    machine
        .journal()
        .tell(&second, refused("shorter"))
        .await
        .unwrap();
    sleep(2 * HOUR).await;
    let third = asked(&machine).await.unwrap();
    machine.journal().tell(&third, approved()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let (plan, by) = &*outcome.output(&ask).unwrap();
    assert_eq!((&**plan, &**by), ("plan''", "ada"));
    let written = ["write plan' [longer]", "write plan'' [longer, shorter]"];
    assert_eq!(world.take(), written);
    let ids: Vec<_> = within(&machine)
        .await
        .into_iter()
        .map(|view| view.run)
        .collect();
    assert_eq!(ids, [first, second, third]);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_round_under_way_goes_on_with_the_run_that_it_had_and_none_is_started_twice()
 {
    let (machine, world) = killed().await;
    let before = within(&machine).await;
    assert_eq!(before.len(), 2);
    let view = machine.journal().view(&id()).await.unwrap();
    assert_eq!(
        view.step("approve").unwrap().child.as_ref(),
        Some(&before[1].run)
    );
    let process = machine.process();
    let (workflow, approved) = approving(&world, durable(), once(3));
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        *outcome.output(&approved).unwrap(),
        "draft 6, reviewed as 60"
    );
    let done = [
        "review 5",
        "send 6",
        "review 6",
        "print draft 6, reviewed as 60",
    ];
    assert_eq!(world.take(), done);
    let after = within(&machine).await;
    assert_eq!(after.len(), 3);
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before.run == after.run)
    );
}

#[tokio::test(start_paused = true)]
async fn a_round_is_suspended_with_the_run_that_it_is_of_and_goes_on_with_it() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(5, Review::Holds);
    let (process, workflow) = (machine.process(), three(&world));
    let run = process.start_durable(&workflow, id(), 4).await.unwrap();
    sleep(3 * SECOND).await;
    process.shutdown(HOUR).await;
    let suspended = run.outcome().await;
    assert!(
        matches!(suspended, Err(WorkflowError::Suspended { .. })),
        "{suspended:?}"
    );
    let done = RunState::Finished(Status::Completed);
    assert_eq!(states(&machine).await, [done, RunState::Interrupted]);
    world.take();

    world.set(5, Review::Succeeds);
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take()[..2], ["review 5", "send 6"]);
    assert_eq!(states(&machine).await, [done; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_or_skipped_once_its_process_is_gone_ends_the_round_under_way() {
    let step = "approve".to_owned();
    for command in [Command::Cancel { reason: None }, Command::Skip { step }] {
        let (machine, world) = killed().await;
        machine.journal().tell(&id(), command).await.unwrap();
        let process = machine.process();
        let run = process.resume_run(&three(&world), &id()).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        let names: Vec<_> = outcome.steps().map(|step| step.state.name()).collect();
        assert!(!names.contains(&"completed"), "{names:?}");
        assert_eq!(world.take(), ["take back 5"]);
        let (done, ended) = (Status::Completed, Status::Cancelled);
        assert_eq!(
            states(&machine).await,
            [done, ended].map(RunState::Finished)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_that_has_begun_is_ended_where_there_are_fewer_or_the_waits_are_longer_by_now() {
    // Fewer.
    let (machine, world) = killed().await;
    let process = machine.process();
    let (workflow, _) = approving(&world, durable(), once(1));
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let error = error_of(&outcome, "approve");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::RoundsExhausted { limit: 1 })
    ));
    assert_eq!(world.take(), ["take back 5"]);
    let (done, ended) = (Status::Completed, Status::Cancelled);
    assert_eq!(
        states(&machine).await,
        [done, ended].map(RunState::Finished)
    );

    // A longer wait, in which it is cancelled.
    let (machine, world) = killed().await;
    let process = machine.process();
    let slow = (Repeat::at_most(3).every(HOUR), Retry::none());
    let (workflow, _) = approving(&world, durable(), slow);
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(SECOND).await;
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(world.take(), ["take back 5"]);
    assert_eq!(
        states(&machine).await,
        [done, ended].map(RunState::Finished)
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_time_is_over_when_it_is_taken_up_ends_the_round_under_way() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(5, Review::Holds);
    let (mut workflow, child) = durable();
    let (child, reviewed) = reviewing(&world, child);
    let draft = workflow.input();
    let approve = workflow.step("approve").total_timeout(HOUR).input(draft);
    let approve = approve.repeat(Repeat::at_most(3));
    approve.workflow(&child, reviewed, until_three);
    let workflow = workflow.build().unwrap();
    let killed = machine.process();
    killed.start_durable(&workflow, id(), 4).await.unwrap();
    sleep(5 * SECOND).await;
    drop(killed);
    sleep(2 * HOUR).await;
    world.take();
    world.set(5, Review::Succeeds);
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let timed_out = AttemptError::AllTimedOut(HOUR);
    assert_eq!(
        error_of(&outcome, "approve").downcast_ref(),
        Some(&timed_out)
    );
    assert_eq!(world.take().last().unwrap(), "take back 5");
    let (done, ended) = (Status::Completed, Status::Cancelled);
    assert_eq!(
        states(&machine).await,
        [done, ended].map(RunState::Finished)
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_goes_on_with_the_round_that_failed_in_another_run() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(5, Review::Fails);
    let (process, workflow) = (machine.process(), three(&world));
    let run = process.start_durable(&workflow, id(), 4).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let begun = ["send 4", "review 4", "send 5", "review 5", "take back 5"];
    assert_eq!(world.take(), begun);

    world.set(5, Review::Succeeds);
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(
        world.take()[..4],
        ["send 5", "review 5", "send 6", "review 6"]
    );
    assert_eq!(within(&machine).await.len(), 4);

    // Named, it is done from its beginning.
    let run = process
        .retry_run(&workflow, &id(), Some("approve"))
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take()[..2], ["send 4", "review 4"]);
    assert_eq!(within(&machine).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_gone_on_with_is_ended_with_the_round_under_way() {
    let (machine, _) = killed().await;
    let process = machine.process();
    process
        .terminate_run(&id(), "nobody prints any more")
        .await
        .unwrap();
    let (done, ended) = (Status::Completed, Status::Failed);
    assert_eq!(
        states(&machine).await,
        [done, ended].map(RunState::Finished)
    );
}

#[tokio::test(start_paused = true)]
async fn a_round_whose_definition_has_changed_leaves_the_run_that_it_is_of_as_it_is() {
    let (machine, world) = killed().await;
    let (mut workflow, mut review) = durable();
    let draft = review.input();
    let reviewed = review.step("review").input(draft);
    let reviewed = reviewed.run(async |draft: Arc<u32>| Ok::<u32, StepError>(*draft * 10));
    let review = review.build().unwrap();
    let draft = workflow.input();
    let approve = workflow.step("approve").input(draft);
    let approve = approve.compensate(async |_| Ok::<_, StepError>(()));
    let approve = approve.repeat(Repeat::at_most(3));
    let approve = approve.workflow(&review, reviewed, until_three);
    let print = workflow.step("print").input(approve);
    print.run(async |_| Ok::<(), StepError>(()));
    let changed = workflow.build().unwrap();
    let process = machine.process();
    let left = process.resume_run(&changed, &id()).await;
    let Err(WorkflowError::Child { child, .. }) = left else {
        panic!("{left:?}");
    };
    assert!(child.starts_with("r.approve.1-"), "{child}");
    let run = process.resume_run(&three(&world), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn rounds_of_a_function_are_another_workflow_than_rounds_of_a_run() {
    let (machine, world) = killed().await;
    let (mut workflow, _) = durable();
    let draft = workflow.input();
    let approve = workflow.step("approve").input(draft);
    let approve = approve.compensate(async |_: Arc<String>| Ok::<_, StepError>(()));
    let approve = approve.repeat(Repeat::at_most(3));
    let approve = approve.run(async |_: Round<u32>, _| Ok::<_, StepError>(Break(String::new())));
    let print = workflow.step("print").input(approve);
    print.run(async |_| Ok::<(), StepError>(()));
    let changed = workflow.build().unwrap();
    let process = machine.process();
    let refused = process.resume_run(&changed, &id()).await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("`approve` has changed (`repeat`)"),
        "{refused}"
    );
    let run = process.resume_run(&three(&world), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_round_is_left_to_the_run_that_it_is_of() {
    let (machine, world) = killed().await;
    let process = machine.process();
    let (child, _) = reviewing(&world, Workflow::durable("review"));
    let resumed = process.resume_runs(&child).await.unwrap();
    assert!(resumed.runs.is_empty() && resumed.refused.is_empty());
    let resumed = process.resume_runs(&three(&world)).await.unwrap();
    assert!(resumed.runs[0].outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn no_round_begins_while_the_run_that_it_is_of_is_told_to_pause() {
    let (machine, world) = (Machine::new(), World::default());
    let (process, workflow) = (machine.process(), three(&world));
    let run = process.start_durable(&workflow, id(), 4).await.unwrap();
    sleep(SECOND / 2).await;
    machine.journal().tell(&id(), Command::Pause).await.unwrap();
    assert!(timeout(HOUR, run.outcome()).await.is_err());
    assert_eq!(world.take(), ["send 4", "review 4"]);
    let view = run.view().unwrap();
    assert_eq!(view.step("approve").unwrap().child, None);
    let paused = Why::PausedParts {
        run: id(),
        progress: Some(Progress::Rounds { done: 1, limit: 3 }),
    };
    assert_eq!(view.why("approve"), Some(paused));
    machine
        .journal()
        .tell(&id(), Command::Continue)
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}
