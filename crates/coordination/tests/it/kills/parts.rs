//! What is killed, with steps whose work is more than one: items of a list, rounds, a run of another workflow, and one
//! for each round, or item.

use std::num::NonZeroUsize;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{Durable, Repeat, Retry, Round, Step, StepContext, StepError, Workflow};

use super::child::{Effects, Plot};

/// `list`, then `each` of its items, one of which needs another attempt, then `loop`, of four rounds, then
/// `child`, a run of another workflow of two steps, then `turns`, three rounds that are runs of one, then `fan`, a run of
/// one for each item, then `last`, which fails or does not.
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
    let (turned, output) = of_parts("turned", ["turn-a", "turn-b"], effects);
    let turns =
        workflow
            .step("turns")
            .input(child)
            .repeat(rounds)
            .workflow(&turned, output, |round| match round.number() {
                3 => Break(*round.output),
                _ => Continue(*round.output + 10),
            });
    let items = workflow
        .step("items")
        .input(turns)
        .run(async |turns: Arc<u64>| Ok::<_, StepError>((*turns..*turns + 3).collect::<Vec<_>>()));
    let (fanned, output) = of_parts("fanned", ["each-a", "each-b"], effects);
    let undone = effects.clone();
    let fan = workflow
        .step("fan")
        .compensate(move |_: Arc<Vec<u64>>| {
            undone.add("undo", "fan");
            std::future::ready(Ok::<_, StepError>(()))
        })
        .for_each(items)
        .concurrency(NonZeroUsize::MIN.saturating_add(1))
        .workflow(&fanned, output);
    let fails = plot == Plot::PartsFail;
    workflow
        .step("last")
        .input(fan)
        .run(move |fan: Arc<Vec<u64>>| async move {
            match fails {
                true => Err(StepError::message("it was to fail")),
                false => Ok(fan.iter().sum::<u64>()),
            }
        });
    workflow.build().unwrap()
}

fn child(effects: &Effects) -> (Workflow<u64, Durable>, Step<u64>) {
    within(
        "child",
        ["inner-a", "inner-b"],
        |step, _| step.to_owned(),
        effects,
    )
}

/// What is run for each item, or round: its steps are told apart by that.
fn of_parts(
    name: &str,
    steps: [&'static str; 2],
    effects: &Effects,
) -> (Workflow<u64, Durable>, Step<u64>) {
    // The run is `killed.fan.2-…` at the item 2.
    let named = |step: &str, run: &str| {
        let part = run.split(['.', '-']).nth(2).unwrap();
        format!("{step}:{part}")
    };
    within(name, steps, named, effects)
}

/// Two steps, of which each does what is named like this.
fn within(
    name: &str,
    steps: [&'static str; 2],
    named: fn(&str, &str) -> String,
    effects: &Effects,
) -> (Workflow<u64, Durable>, Step<u64>) {
    let mut workflow = Workflow::durable(name);
    let mut before = workflow.input();
    for step in steps {
        let seen = effects.clone();
        before = workflow.step(step).input(before).run_with(
            move |context: StepContext, before: Arc<u64>| {
                let seen = seen.clone();
                async move {
                    let part = named(step, context.run().as_str());
                    seen.add_key(&part, &context);
                    seen.add("begin-part", &part);
                    sleep(Duration::from_millis(1)).await;
                    seen.add("end-part", &part);
                    Ok::<u64, StepError>(*before + 1)
                }
            },
        );
    }
    (workflow.build().unwrap(), before)
}
