//! One `[[service]]` of a workflow file.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::patterns::process::{DEFAULT_GRACE, StopSignal};
use coordination::patterns::service::{Check, Probe};
use coordination::recovery::Restart;
use toml::Spanned;
use toml::de::DeTable;

use super::backoff::backoff;
use super::fault::FileFault;
use super::text::printable;
use super::unit::{Draft, Role, unit};
use super::walk::{Keys, Walk};

/// The first wait before a restart, as other process runners have it.
const RESTART_INITIAL: Duration = Duration::from_secs(1);
/// How many restarts within [`RESTART_WITHIN`] are no reason to give a service up. OTP's one in
/// five seconds gives up what crashes twice in a row.
const RESTARTS: u32 = 5;
const RESTART_WITHIN: Duration = Duration::from_secs(60);
/// More than this is as good as without an end.
const RESTARTS_MAX: u32 = 1_000;
/// A probe that is to be answered so often in a row is a slip.
const THRESHOLD_MAX: u32 = 1_000;

pub(super) const SERVICE_KEYS: Keys = Keys {
    table: "a service",
    known: &[
        "id",
        "run",
        "command",
        "dir",
        "env",
        "needs",
        "needs_any",
        "ready",
        "live",
        "restart",
        "stop",
    ],
    elsewhere: &[
        ("depends_on", "needs"),
        ("after", "needs"),
        ("name", "id"),
        ("script", "run"),
        ("cmd", "command"),
        ("cwd", "dir"),
        ("readiness_probe", "ready"),
        ("liveness_probe", "live"),
        ("healthcheck", "live"),
        ("availability", "restart"),
        ("shutdown", "stop"),
    ],
};

pub(super) const READY_KEYS: Keys = Keys {
    table: "`ready`",
    ..LIVE_KEYS
};

pub(super) const LIVE_KEYS: Keys = Keys {
    table: "`live`",
    known: &[
        "http",
        "tcp",
        "exec",
        "log",
        "period",
        "timeout",
        "start_delay",
        "success_threshold",
        "failure_threshold",
    ],
    elsewhere: &[
        ("http_get", "http"),
        ("shell", "exec"),
        ("command", "exec"),
        ("regex", "log"),
        ("interval", "period"),
        ("initial_delay", "start_delay"),
    ],
};

pub(super) const RESTART_KEYS: Keys = Keys {
    table: "`restart`",
    known: &["policy", "backoff", "initial", "max", "intensity", "within"],
    elsewhere: &[
        ("max_restarts", "intensity"),
        ("delay", "initial"),
        ("when", "policy"),
    ],
};

pub(super) const STOP_KEYS: Keys = Keys {
    table: "`stop`",
    known: &["signal", "grace"],
    elsewhere: &[("timeout", "grace")],
};

/// What makes a unit a service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// How it is known to be ready; `None`: as soon as it has started.
    pub(crate) ready: Option<Asked>,
    /// How it is known to be alive; `None`: as long as its process is.
    pub(crate) live: Option<Asked>,
    /// What happens when it ends.
    pub(crate) restart: RestartPolicy,
    /// The signal that asks it to stop.
    pub(crate) stop_signal: StopSignal,
    /// How long it has to stop.
    pub(crate) grace: Duration,
}

/// A probe, and what the file says that it asks.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) probe: Probe,
    /// `http`, `tcp`, `exec` or `log`.
    pub(crate) way: &'static str,
    /// The URL, the address, the shell line or the regular expression.
    pub(crate) what: String,
}

/// What happens when a service ends that nobody asked to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RestartPolicy {
    /// When it is started again.
    pub(crate) restart: Restart,
    /// The waits before it is started again.
    pub(crate) backoff: Backoff,
    /// How many restarts there are at most …
    pub(crate) intensity: u32,
    /// … within this time.
    pub(crate) within: Duration,
}

/// Reads a service.
pub(super) fn service(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    at: &Range<usize>,
    folder: &Path,
) -> Option<Draft> {
    walk.check_keys(table, &SERVICE_KEYS);
    let ready = probe(walk, table, "ready", &READY_KEYS);
    let live = probe(walk, table, "live", &LIVE_KEYS);
    let restart = restart(walk, table);
    let (stop_signal, grace) = stop(walk, table);
    let role = Role::Service(Service {
        ready,
        live,
        restart,
        stop_signal,
        grace,
    });
    unit(walk, table, at, folder, role)
}

fn probe(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    key: &'static str,
    keys: &Keys,
) -> Option<Asked> {
    const EXAMPLE: &str = "write it as a table, such as { tcp = \"localhost:8080\" }";
    let probe = walk.table(table, key, Some(EXAMPLE))?;
    walk.check_keys(probe, keys);
    let check = check(walk, table, probe, key);
    let period = walk.duration(probe, "period");
    let timeout = walk.duration(probe, "timeout");
    let start_delay = walk.duration(probe, "start_delay");
    let successes = walk.count(probe, "success_threshold", THRESHOLD_MAX);
    let failures = walk.count(probe, "failure_threshold", THRESHOLD_MAX);
    let (check, way, what) = check?;
    if way == "log" {
        for key in ["timeout", "success_threshold"] {
            if let Some((name, _)) = probe.get_key_value(key) {
                let at = walk.at(&name.span());
                walk.add(FileFault::UselessOfLog { key, at });
            }
        }
    }
    let mut probe = Probe::new(check);
    probe.period = period.unwrap_or(probe.period);
    probe.timeout = timeout.unwrap_or(probe.timeout);
    probe.start_delay = start_delay.unwrap_or(probe.start_delay);
    probe.success_threshold = successes.unwrap_or(probe.success_threshold);
    probe.failure_threshold = failures.unwrap_or(probe.failure_threshold);
    Some(Asked { probe, way, what })
}

fn check(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    probe: &DeTable<'_>,
    key: &'static str,
) -> Option<(Check, &'static str, String)> {
    let mut checks = Vec::new();
    for way in ["http", "tcp", "exec", "log"] {
        let Some(text) = walk.string(probe, way) else {
            continue;
        };
        let at = walk.at(&text.span());
        if way == "log" && key == "live" {
            walk.add(FileFault::LiveLog { at });
            continue;
        }
        walk.check_process_text(way, &text, true);
        let check = match way {
            "http" => Check::http(text.get_ref()),
            "tcp" => Check::tcp(text.get_ref()),
            "log" => Check::log(text.get_ref()),
            _ => Ok(Check::exec(*text.get_ref())),
        };
        match check {
            Ok(check) => checks.push(((check, way, (*text.get_ref()).to_owned()), at)),
            Err(error) => {
                let why = printable(&error.to_string()).replace(['\n', '\t'], " ");
                walk.add(FileFault::Check { key, why, at });
            }
        }
    }
    let mut found = checks.into_iter();
    let Some((check, first)) = found.next() else {
        let asks = ["http", "tcp", "exec", "log"];
        if !asks.iter().any(|way| probe.contains_key(*way))
            && let Some((name, _)) = table.get_key_value(key)
        {
            let at = walk.at(&name.span());
            walk.add(FileFault::NoCheck { key, at });
        }
        return None;
    };
    if let Some((_, second)) = found.next() {
        walk.add(FileFault::TwoChecks { key, first, second });
    }
    Some(check)
}

fn restart(walk: &mut Walk<'_>, table: &DeTable<'_>) -> RestartPolicy {
    const EXAMPLE: &str = "write \"on-failure\", or a table such as { policy = \"always\" }";
    let mut policy = RestartPolicy {
        restart: Restart::Temporary,
        backoff: Backoff::exponential(RESTART_INITIAL),
        intensity: RESTARTS,
        within: RESTART_WITHIN,
    };
    let is_word = |table: &DeTable<'_>| {
        let value = table.get("restart");
        value.is_some_and(|value| value.get_ref().as_str().is_some())
    };
    if is_word(table) {
        if let Some(word) = walk.string(table, "restart") {
            apply(walk, &mut policy, &word);
        }
        return policy;
    }
    let Some(table) = walk.table(table, "restart", Some(EXAMPLE)) else {
        return policy;
    };
    walk.check_keys(table, &RESTART_KEYS);
    if let Some(word) = walk.string(table, "policy") {
        apply(walk, &mut policy, &word);
    }
    policy.backoff = backoff(walk, table, RESTART_INITIAL);
    let intensity = walk.count(table, "intensity", RESTARTS_MAX);
    policy.within = walk.duration(table, "within").unwrap_or(policy.within);
    if policy.restart != Restart::Temporary && policy.intensity > 0 {
        policy.intensity = intensity.unwrap_or(policy.intensity);
    } else {
        let useless = table.keys().find(|key| key.get_ref() != "policy");
        if let Some(key) = useless {
            let at = walk.at(&key.span());
            let key = key.get_ref().to_string();
            walk.add(FileFault::UselessRestart { key, at });
        }
    }
    policy
}

fn apply(walk: &mut Walk<'_>, policy: &mut RestartPolicy, word: &Spanned<&str>) {
    match *word.get_ref() {
        "no" => {}
        "on-failure" => policy.restart = Restart::Transient,
        "always" => policy.restart = Restart::Permanent,
        // Given up at once, which ends the run.
        "exit-on-failure" => (policy.restart, policy.intensity) = (Restart::Transient, 0),
        other => {
            let name = other.to_owned();
            let at = walk.at(&word.span());
            walk.add(FileFault::Restart { name, at });
        }
    }
}

fn stop(walk: &mut Walk<'_>, table: &DeTable<'_>) -> (StopSignal, Duration) {
    const EXAMPLE: &str = "write it as a table, such as { signal = \"SIGINT\", grace = \"30s\" }";
    let mut stop = (StopSignal::default(), DEFAULT_GRACE);
    let Some(table) = walk.table(table, "stop", Some(EXAMPLE)) else {
        return stop;
    };
    walk.check_keys(table, &STOP_KEYS);
    if let Some(name) = walk.string(table, "signal") {
        match name.get_ref().parse() {
            Ok(signal) => stop.0 = signal,
            Err(_) => {
                let at = walk.at(&name.span());
                let name = (*name.get_ref()).to_owned();
                let help = format!("use one of {}", StopSignal::NAMES.join(", "));
                walk.add(FileFault::StopSignal { name, at, help });
            }
        }
    }
    stop.1 = walk.duration(table, "grace").unwrap_or(stop.1);
    stop
}
