//! What is killed, with steps whose work is more than one: items of a list, rounds, and a run of another
//! workflow.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{Durable, Repeat, Retry, Round, StepContext, StepError, Workflow};

use super::child::{Effects, Plot};

/// `list`, then `each` of its items, one of which needs another attempt, then `loop`, of four rounds, then
/// `child`, a run of another workflow of two steps, then `last`, which fails or does not.
pub(super) fn workflow(plot: Plot, effects: &Effects) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("parts");
    let retry = Retry::constant(Duration::from_millis(2)).max_attempts(3);
    let list = workflow
        .step("list")
        .run(async || Ok::<_, StepError>((0..4).collect::<Vec<u64>>()));
    let seen = effects.clone();
    let undone = effects.clone();
    let each = workflow
        .step("each")
        .retry(retry)
        .compensate(move |_: Arc<Vec<u64>>| {
            undone.add("undo", "each");
            std::future::ready(Ok::<_, StepError>(()))
        })
        .for_each(list)
        .run_with(move |context: StepContext, item: u64| {
            let (seen, part) = (seen.clone(), format!("each:{item}"));
            async move {
                seen.add_key(&part, &context);
                seen.add("begin-part", &part);
                sleep(Duration::from_millis(item)).await;
                if item == 2 && context.attempt() == 1 {
                    return Err(StepError::message("not yet"));
                }
                seen.add("end-part", &part);
                Ok(item * 10)
            }
        });
    let seen = effects.clone();
    let rounds = Repeat::at_most(10).every(Duration::from_millis(1));
    let looped = workflow.step("loop").input(each).repeat(rounds).run(
        move |round: Round<u64>, each: Arc<Vec<u64>>| {
            let part = format!("loop:{}", round.number() - 1);
            seen.add_key(&part, &round.context);
            seen.add("begin-part", &part);
            let seen = seen.clone();
            async move {
                sleep(Duration::from_millis(1)).await;
                seen.add("end-part", &part);
                let sum =
                    round.last.map_or(0, |last| *last) + each[round.context.part().unwrap_or(0)];
                Ok::<_, StepError>(match round.context.part() {
                    Some(3) => Break(sum),
                    _ => Continue(sum),
                })
            }
        },
    );
    let (child, output) = child(effects);
    let child = workflow
        .step("child")
        .input(looped)
        .workflow(&child, output);
    let fails = plot == Plot::PartsFail;
    workflow
        .step("last")
        .input(child)
        .run(move |child: Arc<u64>| async move {
            match fails {
                true => Err(StepError::message("it was to fail")),
                false => Ok(*child),
            }
        });
    workflow.build().unwrap()
}

fn child(effects: &Effects) -> (Workflow<u64, Durable>, coord_workflow::Step<u64>) {
    let mut workflow = Workflow::durable("child");
    let mut before = workflow.input();
    for step in ["inner-a", "inner-b"] {
        let seen = effects.clone();
        before = workflow.step(step).input(before).run_with(
            move |context: StepContext, before: Arc<u64>| {
                let seen = seen.clone();
                async move {
                    seen.add_key(step, &context);
                    seen.add("begin-part", step);
                    sleep(Duration::from_millis(1)).await;
                    seen.add("end-part", step);
                    Ok::<u64, StepError>(*before + 1)
                }
            },
        );
    }
    (workflow.build().unwrap(), before)
}
