//! A run is exactly its facts: those of real runs are applied anew, and some out of order.

mod paused;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{sleep, timeout};
use proptest::prelude::*;

use super::{Course, Fact, Phase, Refused};
use crate::outcome::report;
use crate::{
    Command, OnExhausted, OnFailure, Outcome, Repeat, Retry, Round, Status, Step, StepContext,
    StepError, Workflow, WorkflowOrchestrator,
};

/// How many items the list has.
const ITEMS: usize = 3;

#[derive(Debug, Clone)]
struct Shape {
    /// Which earlier steps it needs: by bit.
    needs: u16,
    /// Of which earlier steps it needs any.
    needs_any: u16,
    /// Whether it takes their outputs, too.
    takes_inputs: bool,
    /// How many rounds it has, if it is no plain step.
    rounds: Option<usize>,
    /// Whether it repeats, or else is done for each item of a list.
    repeats: bool,
    takes_ms: u64,
    failures: u32,
    max_attempts: u32,
    optional: bool,
    /// Whether the run is paused when every attempt has failed.
    pauses: bool,
    critical: bool,
    /// Its condition, if it has one.
    when: Option<bool>,
    /// What undoing it comes to, if it can be undone.
    undo: Option<bool>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let failures = prop_oneof![4 => Just(0), 2 => 0..4_u32];
    let pauses = prop::bool::weighted(0.3);
    let rare = (pauses, prop::bool::weighted(0.1));
    let behaviour = (any::<bool>(), 0..20_u64, failures, 1..4_u32, rare);
    let rest = (
        prop::bool::weighted(0.7),
        prop::option::weighted(0.3, prop::bool::weighted(0.7)),
        prop::option::of(prop::bool::weighted(0.8)),
    );
    let needs_any = prop_oneof![2 => Just(0), 1 => any::<u16>()];
    let rounds = prop::option::weighted(0.3, 0..5_usize);
    let needs = (any::<u16>(), needs_any, rounds, any::<bool>());
    (needs, behaviour, rest).prop_map(|(needs, behaviour, (optional, when, undo))| Shape {
        needs: needs.0 & needs.0.rotate_left(5),
        needs_any: needs.1,
        takes_inputs: behaviour.0,
        rounds: needs.2,
        repeats: needs.3,
        takes_ms: behaviour.1,
        failures: behaviour.2,
        max_attempts: behaviour.3,
        optional,
        pauses: behaviour.4.0,
        critical: behaviour.4.1,
        when,
        undo,
    })
}

fn build(shapes: &[Shape], timeout: Duration, on_failure: OnFailure) -> Workflow<Vec<usize>> {
    let workflow = Workflow::builder("facts").timeout(timeout);
    let mut workflow = workflow.on_failure(on_failure);
    let list = workflow.input();
    let mut handles: Vec<Step<Vec<usize>>> = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let needs = (0..index).filter(|need| shape.needs & (1 << need) != 0);
        let needs: Vec<_> = needs.map(|need| handles[need]).collect();
        let retry = Retry::constant(Duration::from_millis(3)).max_attempts(shape.max_attempts);
        let mut step = workflow.step(format!("s{index}")).retry(retry);
        if shape.optional {
            step = step.optional();
        }
        if shape.critical && !shape.optional {
            step = step.critical();
        }
        if shape.pauses {
            step = step.on_exhausted(OnExhausted::Pause);
        }
        for need in &needs {
            step = step.after(need);
        }
        let any = (0..index).filter(|need| shape.needs_any & (1 << need) != 0);
        step = step.after_any(any.map(|need| &handles[need]));
        if let Some(rounds) = shape.rounds {
            let retries = shape.failures;
            if shape.repeats {
                let takes = shape.takes_ms;
                let one = move |round: Round<usize>| async move {
                    sleep(Duration::from_millis(takes)).await;
                    let number = round.number();
                    match number < rounds || round.context.attempt() > retries {
                        true if number >= rounds => Ok(ControlFlow::Break(vec![number])),
                        true => Ok(ControlFlow::Continue(number)),
                        false => Err(StepError::message("it was to fail")),
                    }
                };
                // Some have a round too few.
                handles.push(
                    step.repeat(Repeat::at_most(3).every(Duration::from_millis(2)))
                        .run(one),
                );
                continue;
            }
            let takes = shape.takes_ms;
            // The last item fails as often as the step is to.
            let one = move |context: StepContext, item: usize| async move {
                if takes > 0 {
                    sleep(Duration::from_millis(takes + item as u64)).await;
                }
                match item + 1 < ITEMS || context.attempt() > retries {
                    true => Ok(item),
                    false => Err(StepError::message("it was to fail")),
                }
            };
            handles.push(step.for_each(list).run_with(one));
            continue;
        }
        let inputs = if shape.takes_inputs {
            needs
        } else {
            Vec::new()
        };
        let mut step = step.input(inputs);
        if let Some(answer) = shape.when {
            step = step.when(move |_| answer);
        }
        let Shape {
            takes_ms,
            failures,
            undo,
            ..
        } = shape;
        let work = move |context: StepContext, _| async move {
            if takes_ms > 0 {
                sleep(Duration::from_millis(takes_ms)).await;
            }
            match context.attempt() > failures {
                true => Ok(vec![index]),
                false => Err(StepError::message("it was to fail")),
            }
        };
        handles.push(match undo {
            None => step.run_with(work),
            Some(can_be) => step
                .compensate(move |_| async move {
                    match can_be {
                        true => Ok(()),
                        false => Err(StepError::message("locked").permanent()),
                    }
                })
                .run_with(work),
        });
    }
    workflow.build().expect("a workflow without faults")
}

fn on_failure() -> impl Strategy<Value = OnFailure> {
    prop_oneof![
        Just(OnFailure::FailFast),
        Just(OnFailure::FinishBranches),
        Just(OnFailure::FinishAll)
    ]
}

/// Runs it, cancelled after a while if that is before its end.
fn execute(workflow: &Workflow<Vec<usize>>, cancel_after: Option<u64>) -> Arc<Outcome> {
    execute_told(workflow, cancel_after, Vec::new()).0
}

/// The same, told to skip some steps, each so long after the one before; with which could be.
fn execute_told(
    workflow: &Workflow<Vec<usize>>,
    cancel_after: Option<u64>,
    skips: Vec<(u64, usize)>,
) -> (Arc<Outcome>, Vec<usize>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens");
        let run = orchestrator
            .start_workflow(workflow, (0..ITEMS).collect())
            .expect("it starts");
        let mut skipped = Vec::new();
        for (wait, index) in skips {
            sleep(Duration::from_millis(wait)).await;
            let step = format!("s{index}");
            if run.tell(Command::Skip { step }).await.is_ok() {
                skipped.push(index);
            }
        }
        if let Some(wait) = cancel_after {
            sleep(Duration::from_millis(wait)).await;
            run.cancel();
        }
        // One that is paused is continued twice, and then cancelled.
        for _ in 0..3 {
            if let Ok(outcome) = timeout(Duration::from_secs(1), run.outcome()).await {
                return (outcome.expect("it ends"), skipped);
            }
            let _ = run.tell(Command::Continue).await;
        }
        run.cancel();
        (run.outcome().await.expect("it ends"), skipped)
    })
}

/// What the outcome says, in full, with the addresses of the outputs.
fn told(outcome: &Outcome, course: &Course) -> Vec<String> {
    let steps = (0..outcome.plan.steps.len()).map(|step| {
        let output = course.outputs()[step].as_ref();
        let address = output.map(|output| Arc::as_ptr(output).cast::<()>());
        let report = report(&outcome.plan, course, step);
        format!("{report:?} {address:?}")
    });
    let whole = format!("{} {:?}", course.status(), course.duration());
    steps.chain([whole]).collect()
}

/// The course of these facts, each of which is admitted.
fn replayed(outcome: &Outcome, facts: &[Fact]) -> Course {
    let mut course = Course::new(&outcome.plan);
    let (mut ready, mut started, mut rounds) = (Vec::new(), 0, 1);
    for fact in facts {
        course.admits(&outcome.plan, fact).expect("it has happened");
        if let Fact::Started {
            step, attempt: 1, ..
        } = fact
        {
            // Whatever needs something has been named as ready before it begins.
            let has_needs = outcome.plan.needs()[*step] > 0;
            assert!(!has_needs || ready.contains(step));
            started += 1;
        }
        rounds += usize::from(matches!(fact, Fact::Continued { .. }));
        course.apply(&outcome.plan, fact.clone(), |step| ready.push(step));
    }
    assert!(started <= rounds * outcome.plan.steps.len());
    course
}

/// Which step a fact is about, and what happens to it: not when, nor why.
fn kind(fact: &Fact) -> String {
    let text = format!("{fact:?}");
    text.split(" at:").next().unwrap_or_default().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_run_is_exactly_its_facts(
        shapes in prop::collection::vec(shape(), 1..12),
        cancel_after in prop::option::weighted(0.3, 0..40_u64),
        timeout in prop_oneof![3 => Just(10_000_u64), 1 => 1..40_u64],
        on_failure in on_failure(),
        skips in prop::collection::vec((0..12_u64, 0..12_usize), 0..4),
    ) {
        let workflow = build(&shapes, Duration::from_millis(timeout), on_failure);
        let (outcome, skipped) = execute_told(&workflow, cancel_after, skips);
        for step in skipped {
            // It is skipped, unless its last attempt was under way, or the run is stopped.
            let phase = outcome.course.step(step).phase;
            let goes_on = outcome.is_completed() && !outcome.plan.steps[step].optional;
            let is_well = matches!(phase, Phase::Completed | Phase::Skipped);
            prop_assert!(is_well || !goes_on, "{:?}", phase);
        }
        let facts = &outcome.course.history;
        let is_finished = matches!(facts.last(), Some(Fact::Finished { .. }));
        prop_assert!(is_finished);
        let course = replayed(&outcome, facts);
        prop_assert_eq!(told(&outcome, &course), told(&outcome, &outcome.course));
        prop_assert_eq!(course.status(), outcome.status);
        for fact in facts {
            prop_assert_eq!(course.admits(&outcome.plan, fact), Err(Refused::RunFinished));
        }
    }

    #[test]
    fn where_branches_finish_what_is_cancelled_is_only_what_needs_a_step_that_failed(
        shapes in prop::collection::vec(shape(), 1..12),
    ) {
        let mut shapes = shapes;
        for shape in &mut shapes {
            (shape.critical, shape.pauses) = (false, false);
        }
        let workflow = build(&shapes, Duration::from_secs(100), OnFailure::FinishBranches);
        let outcome = execute(&workflow, None);
        let plan = &outcome.plan;
        let phase = |step: usize| outcome.course.step(step).phase;
        let mut has_failed = false;
        for step in 0..shapes.len() {
            let harms = |need: usize| match phase(need) {
                Phase::Failed => !plan.steps[need].optional,
                phase => phase == Phase::Cancelled,
            };
            let planned = &plan.steps[step];
            let is_done = |need: &usize| outcome.course.is_completed(*need);
            let any = &planned.needs_any;
            let no_any = !any.iter().any(is_done) && any.iter().any(|need| harms(*need));
            let is_blocked = no_any || planned.needs.iter().any(|need| harms(*need));
            prop_assert_eq!(phase(step) == Phase::Cancelled, is_blocked, "{}", step);
            has_failed |= phase(step) == Phase::Failed && !planned.optional;
        }
        prop_assert_eq!(outcome.status == Status::Failed, has_failed);
    }

    #[test]
    fn where_all_is_to_finish_nothing_is_cancelled_and_the_run_fails_where_a_step_has(
        shapes in prop::collection::vec(shape(), 1..12),
    ) {
        let mut shapes = shapes;
        for shape in &mut shapes {
            (shape.critical, shape.pauses) = (false, false);
        }
        let workflow = build(&shapes, Duration::from_secs(100), OnFailure::FinishAll);
        let outcome = execute(&workflow, None);
        let mut has_failed = false;
        for (step, planned) in outcome.plan.steps.iter().enumerate() {
            let phase = outcome.course.step(step).phase;
            prop_assert!(phase.is_over() && phase != Phase::Cancelled, "{}", step);
            has_failed |= phase == Phase::Failed && !planned.optional;
        }
        prop_assert_eq!(outcome.status == Status::Failed, has_failed);
    }

    #[test]
    fn a_fact_that_comes_twice_or_too_early_is_refused(
        shapes in prop::collection::vec(shape(), 2..10),
        cancel_after in prop::option::weighted(0.3, 0..40_u64),
        at in any::<prop::sample::Index>(),
        on_failure in on_failure(),
    ) {
        let workflow = build(&shapes, Duration::from_secs(10), on_failure);
        let outcome = execute(&workflow, cancel_after);
        let facts = &outcome.course.history;
        let at = at.index(facts.len() - 1);
        let course = replayed(&outcome, &facts[..=at]);
        // Twice.
        let again = course.admits(&outcome.plan, &facts[at]);
        prop_assert!(again.is_err(), "{:?}", facts[at]);
        // Before what it needs: no step that needs this one has anything to tell yet.
        let step = (0..outcome.plan.steps.len()).find(|step| !course.step(*step).phase.is_over());
        if let Some(step) = step {
            for &next in outcome.plan.needed_by(step) {
                for fact in facts.iter().filter(|fact| about(fact) == Some(next as usize)) {
                    let stops = matches!(fact, Fact::Cancelled { .. });
                    let admitted = course.admits(&outcome.plan, fact).is_ok();
                    prop_assert!(!admitted || stops, "{:?} while {step} is not over", kind(fact));
                }
            }
        }
    }
}

fn about(fact: &Fact) -> Option<usize> {
    match fact {
        Fact::Started { step, .. }
        | Fact::AttemptFailed { step, .. }
        | Fact::PartCompleted { step, .. }
        | Fact::Child { step, .. }
        | Fact::Completed { step, .. }
        | Fact::Failed { step, .. }
        | Fact::Exhausted { step, .. }
        | Fact::Skipped { step, .. }
        | Fact::Cancelled { step, .. }
        | Fact::UndoStarted { step }
        | Fact::UndoAttemptFailed { step, .. }
        | Fact::Undone { step }
        | Fact::UndoFailed { step, .. } => Some(*step),
        // Of the whole run.
        _ => None,
    }
}

/// `a`, which can be undone, then `b`, which is tried twice, then `c`, optional.
fn three() -> Workflow {
    let mut workflow = Workflow::builder("three");
    let a = workflow
        .step("a")
        .compensate(|_: Arc<()>| async { Ok::<_, StepError>(()) })
        .run(async || Ok::<_, StepError>(()));
    let b = workflow
        .step("b")
        .after(&a)
        .retry(Retry::constant(Duration::ZERO).max_attempts(2))
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("c")
        .after(&b)
        .optional()
        .run(async || Ok::<_, StepError>(()));
    workflow.build().expect("a workflow without faults")
}

fn started(step: usize, attempt: u32) -> Fact {
    Fact::Started {
        step,
        attempt,
        at: 1,
    }
}

fn completed(step: usize) -> Fact {
    Fact::Completed {
        step,
        output: Arc::new(Mutex::new(())),
        kept: None,
        print: None,
        signal: None,
        at: 2,
    }
}

fn attempt_failed(step: usize) -> Fact {
    Fact::AttemptFailed {
        step,
        error: StepError::message("no").into(),
        heartbeat: None,
        signal: None,
        until: 3,
    }
}

fn failed(step: usize) -> Fact {
    Fact::Failed {
        step,
        error: StepError::message("no").into(),
        signal: None,
        at: 2,
    }
}

// tidy: long, because it is one table, a row for each that may not happen.
#[test]
fn what_is_refused_says_why_by_name() {
    let plan = three().plan;
    let after = |facts: &[Fact]| {
        let mut course = Course::new(&plan);
        for fact in facts {
            assert_eq!(course.admits(&plan, fact), Ok(()), "{fact:?}");
            course.apply(&plan, fact.clone(), |_| {});
        }
        course
    };
    let refused = |facts: &[Fact], fact: &Fact, why: Refused| {
        assert_eq!(after(facts).admits(&plan, fact), Err(why), "{fact:?}");
    };
    let (signal, at) = (None, 9);
    let cancelled = |step| Fact::Cancelled { step, signal, at };
    let finished = Fact::Finished { at, failed: None };
    let undo = |step| Fact::UndoStarted { step };
    let stopped = |status, failed| Fact::Stopped { status, failed };
    let stopped = stopped(Status::Cancelled, None);
    refused(&[], &started(7, 1), Refused::NoSuchStep { step: 7 });
    refused(
        &[],
        &started(1, 1),
        Refused::StepWaits {
            step: 1,
            missing: 1,
        },
    );
    refused(&[], &completed(0), Refused::NotRunning { step: 0 });
    refused(&[], &cancelled(0), Refused::RunGoesOn);
    refused(&[], &finished, Refused::StepsLeft { left: 3 });
    refused(
        &[],
        &Fact::Skipped {
            step: 0,
            at: 1,
            asked: false,
        },
        Refused::NothingRulesItOut { step: 0 },
    );
    let too_late = Refused::WrongAttempt {
        step: 0,
        attempt: 2,
        next: 1,
    };
    refused(&[], &started(0, 2), too_late);
    refused(
        &[started(0, 1)],
        &started(0, 1),
        Refused::UnderWay { step: 0 },
    );
    refused(
        &[started(0, 1), completed(0)],
        &completed(0),
        Refused::StepOver { step: 0 },
    );
    refused(
        std::slice::from_ref(&stopped),
        &started(0, 1),
        Refused::RunStopped,
    );
    refused(
        std::slice::from_ref(&stopped),
        &stopped,
        Refused::RunStopped,
    );
    let to_b = [started(0, 1), completed(0), started(1, 1)];
    refused(
        &to_b[..2],
        &started(1, 2),
        Refused::WrongAttempt {
            step: 1,
            attempt: 2,
            next: 1,
        },
    );
    refused(&to_b, &undo(0), Refused::RunGoesOn);
    let continued = Fact::Continued { at: 5 };
    refused(&to_b, &continued, Refused::NothingExhausted);
    let exhausted = Fact::Exhausted {
        step: 1,
        error: StepError::message("no").into(),
        heartbeat: None,
        signal: None,
        at: 4,
    };
    let held = [&to_b[..], std::slice::from_ref(&exhausted)].concat();
    assert!(after(&held).is_held());
    refused(&held, &exhausted, Refused::NotRunning { step: 1 });
    refused(&held, &started(1, 2), Refused::Exhausted { step: 1 });
    refused(&held, &finished, Refused::StepsLeft { left: 2 });
    let anew = [&held[..], &[continued, started(1, 1)]].concat();
    assert!(!after(&anew).is_held());
    refused(&anew, &started(1, 2), Refused::UnderWay { step: 1 });
    let failing = [&to_b[..], &[attempt_failed(1), started(1, 2), failed(1)]].concat();
    assert_eq!(after(&failing).status(), Status::Failed);
    refused(&failing, &undo(0), Refused::StepsLeft { left: 1 });
    let over = [&failing[..], &[cancelled(2)]].concat();
    refused(&over, &finished, Refused::ToBeUndone { step: 0 });
    let not_its_turn = Refused::NotItsTurn {
        step: 1,
        next: Some(0),
    };
    refused(&over, &undo(1), not_its_turn);
    refused(
        &over,
        &Fact::Undone { step: 0 },
        Refused::NotBeingUndone { step: 0 },
    );
    let undoing = [&over[..], &[undo(0)]].concat();
    refused(&undoing, &finished, Refused::BeingUndone { step: 0 });
    let end = [&undoing[..], &[Fact::Undone { step: 0 }, finished]].concat();
    assert_eq!(after(&end).duration(), 9);
    refused(&end, &started(2, 1), Refused::RunFinished);
}

#[test]
fn a_step_that_lacks_an_input_can_only_be_skipped() {
    let mut workflow = Workflow::<()>::builder("lacks");
    let optional = workflow
        .step("optional")
        .optional()
        .run(async || Ok::<u32, StepError>(1));
    workflow
        .step("takes")
        .input(optional)
        .run(async |_: Arc<u32>| Ok::<_, StepError>(()));
    let plan = workflow.build().expect("a workflow without faults").plan;
    let mut course = Course::new(&plan);
    let mut ready = Vec::new();
    for fact in [started(0, 1), failed(0)] {
        course.apply(&plan, fact, |step| ready.push(step));
    }
    assert_eq!(ready, [1]);
    let refused = course.admits(&plan, &started(1, 1));
    assert_eq!(refused, Err(Refused::LacksInput { step: 1 }));
    assert_eq!(
        course.admits(
            &plan,
            &Fact::Skipped {
                step: 1,
                at: 3,
                asked: false
            }
        ),
        Ok(())
    );
    assert_eq!(course.missing_input(&plan, 1), Some(0));
}
