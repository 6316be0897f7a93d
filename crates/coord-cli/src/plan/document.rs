//! What a run would do, as programs read it: one document, or a line for each step and service.
//! `docs/coord.md` tells what each key is.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::recovery::Restart;
use coordination::workflow::{OnExhausted, OnFailure, Retry};
use serde::Serialize;

use super::{in_order, left_out};
use crate::definition::Prepared;
use crate::file::{
    Action, Asked, Condition, Each, Hooks, Resources, Role, Service, Source, Step, Taken, Undo,
    Unit, WorkflowFile,
};

/// How many of the waits that grow are told one by one.
const WAITS_MAX: u32 = 10;

/// All of it.
#[derive(Serialize)]
pub(super) struct Document<'p> {
    #[serde(flatten)]
    pub(super) run: OfRun<'p>,
    /// In the order in which they could begin.
    pub(super) units: Vec<OfUnit<'p>>,
}

/// What is said of the run.
#[derive(Serialize)]
pub(super) struct OfRun<'p> {
    kind: &'static str,
    name: &'p str,
    file: &'p str,
    included: Vec<&'p str>,
    profile: Option<&'p str>,
    concurrency: Option<NonZeroUsize>,
    timeout_ms: Option<u64>,
    on_failure: OnFailure,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<&'p Hooks>,
    params: &'p BTreeMap<String, String>,
    env: &'p BTreeMap<String, String>,
    dotenv: Dotenv<'p>,
    secrets: BTreeMap<&'p str, Secret<'p>>,
    resources: &'p Resources,
}

/// Variables from files: what they say is often secret, so only their names are told.
#[derive(Serialize)]
struct Dotenv<'p> {
    files: Vec<&'p Path>,
    names: Vec<&'p str>,
}

/// Where a secret comes from, from where it is not fetched.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Secret<'p> {
    Env(&'p str),
    File(&'p PathBuf),
    Command(&'p [String]),
}

/// What would be done with a step or a service.
#[derive(Serialize)]
pub(super) struct OfUnit<'p> {
    /// From 1: what could begin together, if all took as long.
    stage: usize,
    id: &'p str,
    kind: &'static str,
    /// Where the file has it.
    at: String,
    runs: bool,
    #[serde(flatten)]
    does: Does<'p>,
    folder: &'p Path,
    env: BTreeMap<&'p str, Variable<'p>>,
    needs: &'p [String],
    needs_any: &'p [String],
    #[serde(flatten)]
    role: OfRole<'p>,
}

/// A variable: its value, or the step that will put it out.
#[derive(Serialize)]
#[serde(untagged)]
enum Variable<'p> {
    Known(&'p str),
    Taken(&'p Taken),
}

/// What a unit does: what would be started, or what is waited for.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Does<'p> {
    Shell(&'p str),
    Command(Vec<&'p str>),
    Signal(&'p str),
    SleepMs(Option<u64>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum OfRole<'p> {
    Step(Box<OfStep<'p>>),
    Service(Box<OfService<'p>>),
}

#[derive(Serialize)]
struct OfStep<'p> {
    when: Option<&'p str>,
    #[serde(flatten)]
    attempts: Attempts<'p>,
    /// None: as long as the run.
    timeout_ms: Option<u64>,
    total_timeout_ms: Option<u64>,
    heartbeat_timeout_ms: Option<u64>,
    optional: bool,
    critical: bool,
    on_exhausted: OnExhausted,
    resources: &'p Resources,
    undo: Option<OfUndo<'p>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<&'p Hooks>,
    outputs: &'p [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<&'p Each>,
}

/// How often something is tried, and how long is waited in between.
#[derive(Serialize)]
struct Attempts<'p> {
    max_attempts: NonZeroU32,
    /// After which exit codes; none: after all.
    #[serde(skip_serializing_if = "<[i32]>::is_empty")]
    exit_codes: &'p [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<Waits>,
}

/// The waits before it is done again.
#[derive(Serialize)]
struct Waits {
    /// The first ones, until they no longer grow.
    waits_ms: Vec<u64>,
    /// The longest.
    max_ms: u64,
}

#[derive(Serialize)]
struct OfUndo<'p> {
    shell: &'p str,
    #[serde(flatten)]
    attempts: Option<Attempts<'p>>,
    /// None: as long as an attempt of the step.
    timeout_ms: Option<u64>,
}

#[derive(Serialize)]
struct OfService<'p> {
    ready: Option<OfProbe<'p>>,
    live: Option<OfProbe<'p>>,
    restart: OfRestart,
    stop: Stop,
}

#[derive(Serialize)]
struct OfProbe<'p> {
    #[serde(flatten)]
    asks: BTreeMap<&'static str, &'p str>,
    period_ms: u64,
    timeout_ms: u64,
    start_delay_ms: u64,
    success_threshold: u32,
    failure_threshold: u32,
}

#[derive(Serialize)]
struct OfRestart {
    policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
}

/// How often a service is started again before it is given up.
#[derive(Serialize)]
struct Limit {
    intensity: u32,
    within_ms: u64,
    #[serde(flatten)]
    backoff: Waits,
}

#[derive(Serialize)]
struct Stop {
    signal: String,
    grace_ms: u64,
}

/// What the run would be.
pub(super) fn of_run(prepared: &Prepared) -> OfRun<'_> {
    let file = &prepared.file;
    OfRun {
        kind: "run",
        name: &file.name,
        file: file.path(),
        included: file.included.iter().map(|file| &*file.name).collect(),
        profile: prepared.definition.profile(),
        concurrency: file.concurrency,
        timeout_ms: bounded(file.timeout),
        on_failure: file.on_failure,
        hooks: file.hooks.as_ref(),
        params: &prepared.params,
        env: &file.env,
        dotenv: Dotenv {
            files: file.dotenv_paths().collect(),
            names: file.dotenv.keys().map(String::as_str).collect(),
        },
        secrets: secrets(file),
        resources: &file.resources,
    }
}

fn secrets(file: &WorkflowFile) -> BTreeMap<&str, Secret<'_>> {
    let secrets = file.secrets.iter().map(|(name, source)| {
        let source = match source {
            Source::Environment(variable) => Secret::Env(variable),
            Source::File(path) => Secret::File(path),
            Source::Command(words) => Secret::Command(words),
        };
        (&**name, source)
    });
    secrets.collect()
}

/// What would be done with each unit, in the order in which they could begin.
pub(super) fn units(prepared: &Prepared) -> impl Iterator<Item = OfUnit<'_>> {
    in_order(prepared).into_iter().map(|(stage, place)| {
        let unit = &prepared.file.units[place];
        let (kind, role) = match &unit.role {
            Role::Step(step) => ("step", OfRole::Step(Box::new(of_step(step)))),
            Role::Service(service) => ("service", OfRole::Service(Box::new(of_service(service)))),
        };
        let (path, at) = (prepared.file.path_of(unit), prepared.file.place(unit));
        OfUnit {
            stage,
            id: &unit.id,
            kind,
            at: format!("{path}:{at}"),
            runs: left_out(prepared, place).is_none(),
            does: does(unit),
            folder: &unit.folder,
            env: variables(unit),
            needs: &unit.needs,
            needs_any: &unit.needs_any,
            role,
        }
    })
}

fn variables(unit: &Unit) -> BTreeMap<&str, Variable<'_>> {
    let known = unit.env.iter();
    let known = known.map(|(name, value)| (&**name, Variable::Known(value)));
    let taken = unit.taken.iter();
    let taken = taken.map(|(name, taken)| (&**name, Variable::Taken(taken)));
    known.chain(taken).collect()
}

fn does(unit: &Unit) -> Does<'_> {
    match &unit.action {
        Action::Shell(line) => Does::Shell(line),
        Action::Program { program, arguments } => {
            let arguments = arguments.iter().map(String::as_str);
            Does::Command([&**program].into_iter().chain(arguments).collect())
        }
        Action::Signal(name) => Does::Signal(name),
        Action::Sleep(wait) => Does::SleepMs(bounded(*wait)),
    }
}

fn of_step(step: &Step) -> OfStep<'_> {
    OfStep {
        when: step.when.as_ref().map(Condition::expression),
        attempts: attempts(step.retry.as_ref(), &step.exit_codes),
        timeout_ms: bounded(step.timeout),
        total_timeout_ms: step.failing.total_timeout.map(milliseconds),
        heartbeat_timeout_ms: step.failing.heartbeat_timeout.map(milliseconds),
        optional: step.optional,
        critical: step.failing.critical,
        on_exhausted: step.failing.on_exhausted,
        resources: &step.resources,
        undo: step.undo.as_ref().map(of_undo),
        hooks: step.hooks.as_ref(),
        outputs: &step.outputs,
        for_each: step.each.as_ref(),
    }
}

fn of_undo(undo: &Undo) -> OfUndo<'_> {
    OfUndo {
        shell: &undo.run,
        attempts: undo
            .retry
            .as_ref()
            .map(|retry| attempts(Some(retry), &undo.exit_codes)),
        timeout_ms: undo.timeout.and_then(bounded),
    }
}

fn attempts<'p>(retry: Option<&Retry>, exit_codes: &'p [i32]) -> Attempts<'p> {
    Attempts {
        max_attempts: retry.map_or(NonZeroU32::MIN, |retry| retry.max_attempts),
        exit_codes,
        backoff: retry
            .filter(|retry| retry.max_attempts.get() > 1)
            .map(|retry| waits(&retry.backoff, retry.max_attempts.get() - 1)),
    }
}

/// The waits after so many failures at most.
fn waits(backoff: &Backoff, failures: u32) -> Waits {
    let longest = backoff.delay(failures);
    let first = (1..=failures.min(WAITS_MAX)).map(|failure| backoff.delay(failure));
    let mut waits_ms = Vec::new();
    for wait in first {
        waits_ms.push(milliseconds(wait));
        if wait >= longest {
            break;
        }
    }
    Waits {
        waits_ms,
        max_ms: milliseconds(longest),
    }
}

/// When a service is started again, in the word of the file.
pub(super) fn policy(service: &Service) -> &'static str {
    match (service.restart.restart, service.restart.intensity) {
        (Restart::Temporary, _) => "no",
        (Restart::Permanent, _) => "always",
        (Restart::Transient, 0) => "exit-on-failure",
        (Restart::Transient, _) => "on-failure",
    }
}

fn of_service(service: &Service) -> OfService<'_> {
    let (restart, policy) = (service.restart, policy(service));
    let is_limited = !matches!(policy, "no" | "exit-on-failure");
    OfService {
        ready: service.ready.as_ref().map(of_probe),
        live: service.live.as_ref().map(of_probe),
        restart: OfRestart {
            policy,
            limit: is_limited.then(|| Limit {
                intensity: restart.intensity,
                within_ms: milliseconds(restart.within),
                backoff: waits(&restart.backoff, u32::MAX),
            }),
        },
        stop: Stop {
            signal: service.stop_signal.to_string(),
            grace_ms: milliseconds(service.grace),
        },
    }
}

fn of_probe(asked: &Asked) -> OfProbe<'_> {
    let probe = &asked.probe;
    OfProbe {
        asks: BTreeMap::from([(asked.way, &*asked.what)]),
        period_ms: milliseconds(probe.period),
        timeout_ms: milliseconds(probe.timeout),
        start_delay_ms: milliseconds(probe.start_delay),
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
    }
}

/// Nothing, where there is no bound.
fn bounded(duration: Duration) -> Option<u64> {
    (duration < Duration::MAX).then(|| milliseconds(duration))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
