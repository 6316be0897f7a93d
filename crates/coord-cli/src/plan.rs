//! `coord run --dry-run`: what would be done, and nothing of it.

mod document;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use coordination::patterns::process::{DEFAULT_GRACE, StopSignal};
use coordination::workflow::{OnExhausted, OnFailure};

use crate::args::{Manner, Output};
use crate::definition::Prepared;
use crate::exit_code::ExitCode;
use crate::file::{
    Action, Asked, Each, Hooks, Items, Role, Service, Source, Step, Unit, WorkflowFile, printable,
};
use crate::graph;
use crate::screen::{self, ODD, QUIET};
use crate::spoken::Spoken;
use document::Document;

/// Says on standard output what a run would do.
pub(crate) fn say(prepared: &Prepared, manner: Manner) -> ExitCode {
    let mut out = screen::out(manner.color.into());
    let said = match manner.output {
        Output::Jsonl => lines(&mut out, prepared),
        Output::Json => whole(&mut out, prepared),
        Output::Tui | Output::Text => text(&mut out, prepared),
    };
    match said.and_then(|()| out.flush()) {
        Err(_) => ExitCode::OutputLost,
        Ok(()) if !prepared.runs.contains(&true) => ExitCode::NothingSelected,
        Ok(()) => ExitCode::Done,
    }
}

/// The stage and the place of each unit, in the order in which they could begin.
fn in_order(prepared: &Prepared) -> Vec<(usize, usize)> {
    let stages = graph::of(&prepared.file, &prepared.runs).stages();
    let stages = stages.into_iter().zip(1..);
    let places = stages.flat_map(|(places, stage)| places.into_iter().map(move |at| (stage, at)));
    places.collect()
}

/// Why a unit would not run, if so.
fn left_out(prepared: &Prepared, place: usize) -> Option<String> {
    let unit = &prepared.file.units[place];
    match (prepared.runs[place], &unit.role) {
        (false, Role::Step(_)) => Some("its condition is false".to_owned()),
        (false, Role::Service(_)) => Some("nothing that would run needs it".to_owned()),
        (true, Role::Step(Step { each, .. })) => {
            let without = without(prepared, each.as_ref()?)?;
            Some(format!("`{without}`, whose output it takes, has none"))
        }
        (true, Role::Service(_)) => None,
    }
}

/// The step that would put out the list, where that does not run.
fn without<'e>(prepared: &Prepared, each: &'e Each) -> Option<&'e str> {
    let Items::Output(taken) = &each.items else {
        return None;
    };
    let (step, _) = taken.parts();
    let mut units = prepared.file.units.iter();
    let place = units.position(|unit| unit.id == step)?;
    (!prepared.runs[place]).then_some(step)
}

fn lines(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    for unit in document::units(prepared) {
        serde_json::to_writer(&mut *out, &unit)?;
        writeln!(out)?;
    }
    serde_json::to_writer(&mut *out, &document::of_run(prepared))?;
    writeln!(out)
}

fn whole(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    let document = Document {
        run: document::of_run(prepared),
        units: document::units(prepared).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

/// Where a file says nothing, there is no limit.
fn is_bounded(limit: Duration) -> bool {
    limit < Duration::MAX
}

fn text(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    let file = &prepared.file;
    let at_once = file.concurrency.map_or(0, usize::from);
    let limit = match is_bounded(file.timeout) {
        true => format!(", in at most {}", Spoken(file.timeout)),
        false => String::new(),
    };
    let name = &file.name;
    writeln!(
        out,
        "{name}: would run this, at most {at_once} at once{limit}{}",
        match file.on_failure {
            OnFailure::FinishBranches => "; a failure stops only what needs it",
            OnFailure::FinishAll => "; a failure stops nothing",
            _ => "",
        }
    )?;
    for (what, of) in given(prepared) {
        writeln!(out, "{QUIET}{what}:{QUIET:#} {of}")?;
    }
    let width = file.units.iter().map(|unit| unit.id.len()).max();
    let width = width.unwrap_or_default();
    let (mut others, mut last) = (Vec::new(), 0);
    for (stage, place) in in_order(prepared) {
        let unit = &file.units[place];
        if let Some(why) = left_out(prepared, place) {
            others.push((&unit.id, why));
            continue;
        }
        let number = match std::mem::replace(&mut last, stage) == stage {
            true => String::new(),
            false => format!("{stage}."),
        };
        // As a comment behind a line for a shell.
        let (what, how) = (what(unit), how(file, unit).join(", "));
        let line = format!("{number:>4} {:width$}  {what}", unit.id);
        match &*how {
            "" => writeln!(out, "{line}")?,
            how => writeln!(out, "{line}  {QUIET}# {how}{QUIET:#}")?,
        }
    }
    for (id, why) in others {
        writeln!(out, "{ODD}   - {id:width$}  not this: {why}{ODD:#}")?;
    }
    for (when, line) in file.hooks.iter().flat_map(Hooks::lines) {
        writeln!(
            out,
            "{QUIET}at the end, {when}:{QUIET:#} {}",
            one_line(line)
        )?;
    }
    Ok(())
}

fn what(unit: &Unit) -> String {
    match &unit.action {
        Action::Shell(line) => one_line(line),
        Action::Program { program, arguments } => {
            let words = [program].into_iter().chain(arguments);
            // As one would write it in a shell, which it is not run by.
            let line = shlex::try_join(words.clone().map(String::as_str));
            one_line(&line.unwrap_or_else(|_| words.cloned().collect::<Vec<_>>().join(" ")))
        }
        Action::Signal(_) | Action::Sleep(_) => unit.waits().unwrap_or_default(),
    }
}

fn for_each(each: &Each) -> String {
    let of = match &each.items {
        Items::Listed(items) => format!("{} items", items.len()),
        Items::Param(name, _) => name.clone(),
        Items::Output(taken) => taken.output.clone(),
    };
    match each.max_parallel {
        Some(most) => format!("for each of {of}, {most} at once"),
        None => format!("for each of {of}"),
    }
}

fn one_line(shell: &str) -> String {
    printable(shell.trim_end()).replace('\n', "; ")
}

/// What all of it is given, where there is anything: of a secret where it comes from, and of a file of
/// variables their names.
fn given(prepared: &Prepared) -> Vec<(&'static str, String)> {
    let Prepared { file, params, .. } = prepared;
    let pairs = |pairs: &BTreeMap<String, String>| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", quoted(value)));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let dotenv: Vec<_> = file.dotenv.keys().map(String::as_str).collect();
    let secrets = file.secrets.iter().map(|(name, source)| {
        let from = match source {
            Source::Environment(variable) => format!("the variable {variable}"),
            Source::File(path) => format!("the file {}", path.display()),
            Source::Command(words) => format!("`{}`", words.join(" ")),
        };
        one_line(&format!("{name} from {from}"))
    });
    let given = [
        ("parameters", pairs(params)),
        ("variables", pairs(&file.env)),
        ("variables from files", dotenv.join(", ")),
        ("secrets", secrets.collect::<Vec<_>>().join(", ")),
    ];
    let given = given.into_iter();
    given.filter(|(_, of)| !of.is_empty()).collect()
}

/// As one would write it in a shell.
fn quoted(value: &str) -> String {
    let quoted = shlex::try_quote(value);
    one_line(&quoted.map_or_else(|_| value.to_owned(), Into::into))
}

/// What there is to say of it beside what it does.
fn how(file: &WorkflowFile, unit: &Unit) -> Vec<String> {
    let mut how = Vec::new();
    match &unit.role {
        Role::Service(service) => of_service(&mut how, service),
        Role::Step(step) => of_step(&mut how, step),
    }
    if unit.folder != file.folder {
        how.push(format!(
            "in {}",
            one_line(&unit.folder.display().to_string())
        ));
    }
    let known = unit.env.iter();
    how.extend(known.map(|(name, value)| format!("{name}={}", quoted(value))));
    let taken = unit.taken.iter();
    how.extend(taken.map(|(name, taken)| format!("takes {} as {name}", taken.output)));
    let needs = unit.needs.join(", ");
    if !needs.is_empty() {
        how.push(format!("after {needs}"));
    }
    if !unit.needs_any.is_empty() {
        how.push(format!("after any of {}", unit.needs_any.join(", ")));
    }
    how
}

fn of_service(how: &mut Vec<String>, service: &Service) {
    how.push("a service".to_owned());
    let asks = |asked: &Asked| format!("{} `{}`", asked.way, one_line(&asked.what));
    if let Some(ready) = &service.ready {
        how.push(format!("awaited until {} says it is ready", asks(ready)));
    }
    if let Some(live) = &service.live {
        how.push(format!("watched by {}", asks(live)));
    }
    match document::policy(service) {
        "no" => {}
        policy => how.push(format!("restart {policy}")),
    }
    if (service.stop_signal, service.grace) != (StopSignal::default(), DEFAULT_GRACE) {
        let (signal, grace) = (service.stop_signal, Spoken(service.grace));
        how.push(format!("stopped by {signal} within {grace}"));
    }
}

fn of_step(how: &mut Vec<String>, step: &Step) {
    let decided_later = step.when.iter().filter(|when| !when.takes.is_empty());
    how.extend(decided_later.map(|when| format!("if {}", one_line(when.expression()))));
    how.extend(step.each.as_ref().map(for_each));
    if let Some(retry) = step.retry {
        let codes: Vec<_> = step.exit_codes.iter().map(ToString::to_string).collect();
        let after = match codes.is_empty() {
            true => String::new(),
            false => format!(" after exit code {}", codes.join(", ")),
        };
        how.push(format!("up to {} attempts{after}", retry.max_attempts));
    }
    if is_bounded(step.timeout) {
        how.push(format!("at most {}", Spoken(step.timeout)));
    }
    if let Some(total) = step.failing.total_timeout {
        how.push(format!("all attempts at most {}", Spoken(total)));
    }
    if let Some(silent) = step.failing.heartbeat_timeout {
        how.push(format!("silent for at most {}", Spoken(silent)));
    }
    for (said, what) in [
        (step.optional, "may fail"),
        (step.failing.critical, "critical"),
        (
            step.failing.on_exhausted == OnExhausted::Pause,
            "pauses the run if it fails",
        ),
    ] {
        how.extend(said.then(|| what.to_owned()));
    }
    let resources = step.resources.iter();
    how.extend(resources.map(|(name, permits)| format!("takes {permits} of {name}")));
    if let Some(undo) = &step.undo {
        how.push(format!("undone by `{}`", one_line(&undo.run)));
    }
    if !step.outputs.is_empty() {
        how.push(format!("puts out {}", step.outputs.join(", ")));
    }
    let hooks = step.hooks.iter().flat_map(Hooks::lines);
    how.extend(hooks.map(|(when, line)| format!("{when}: `{}`", one_line(line))));
}
