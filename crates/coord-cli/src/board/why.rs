//! Why a step or a service is where it is, in a sentence.

use std::time::Duration;

use coordination::bus::time::Instant;

use super::{Board, Row, State};
use crate::spoken::Spoken;

/// For how many steps and services it is said at most where nobody can scroll.
const SAID_MAX: usize = 50;

impl Board {
    /// What runs, since when, what waits, and why, in lines: what is under way first, and a bounded number.
    pub(crate) fn report(&self) -> Vec<String> {
        let is_over = |row: &&Row| row.state.is_over();
        let over = self.rows.iter().filter(is_over).count();
        let since = Spoken(self.started.elapsed());
        let (name, of) = (&self.workflow, self.rows.len());
        let mut report = vec![format!("{name} runs for {since}: {over} of {of} over")];
        let mut left: Vec<&Row> = self.left().collect();
        left.sort_by_key(|row| row.state == State::Waiting);
        let shown = left.iter().take(SAID_MAX);
        let shown = shown.map(|row| (row.id.as_str(), self.reason(row)));
        let shown: Vec<_> = self.said_of_hook().into_iter().chain(shown).collect();
        let width = shown.iter().map(|(id, _)| id.chars().count()).max();
        let width = width.unwrap_or_default();
        let said = shown.iter();
        report.extend(said.map(|(id, reason)| format!("  {id:width$}  {reason}")));
        if left.len() > SAID_MAX {
            report.push(format!("  and {} more", left.len() - SAID_MAX));
        }
        report
    }

    /// What runs, what waits, and why: a sentence for each row that is not over or is being undone, and for a hook
    /// of the run.
    pub(crate) fn why(&self) -> Vec<(&str, String)> {
        let rows = self.left().map(|row| (row.id.as_str(), self.reason(row)));
        self.said_of_hook().into_iter().chain(rows).collect()
    }

    /// The rows of which something is still to come.
    fn left(&self) -> impl Iterator<Item = &Row> {
        let is_left = |row: &&Row| !row.state.is_over() || row.undoing.is_some();
        self.rows.iter().filter(is_left)
    }

    fn said_of_hook(&self) -> Option<(&'static str, String)> {
        let since = Spoken(self.hook()?.elapsed());
        Some((
            "run hook",
            format!("runs for {since}, as the run has come to its end"),
        ))
    }

    fn reason(&self, row: &Row) -> String {
        if let Some(since) = row.undoing {
            return format!(
                "is being undone for {}{}",
                Spoken(since.elapsed()),
                process(row)
            );
        }
        if let Some(since) = row.hook {
            return format!(
                "its hook runs for {}{}",
                Spoken(since.elapsed()),
                process(row)
            );
        }
        let since = Spoken(row.since.elapsed());
        match row.state {
            State::Waiting => self.waits_for(row),
            State::Running => match &row.waits {
                Some(waits) => format!("{waits}, for {since}"),
                None => format!(
                    "runs for {since}{}{}{}",
                    attempt(row),
                    items(row),
                    said(row)
                ),
            },
            State::Starting => {
                let answer = row.answer.as_deref().unwrap_or("no answer yet");
                format!("starts for {since}, is not ready: {answer}{}", process(row))
            }
            State::Ready => {
                let answer = row.answer.as_ref();
                let answer =
                    answer.map(|answer| format!("; its probe was last answered: {answer}"));
                let answer = answer.unwrap_or_default();
                format!(
                    "ready for {since}{answer}{}{}",
                    process(row),
                    self.users(row)
                )
            }
            State::Retrying { until } => {
                let (of, remark) = (row.attempts_max, &row.remark);
                let again = match until.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => self.lacks_place(),
                    wait => format!("again in {}", Spoken(wait)),
                };
                format!("attempt {} of {of} failed: {remark}; {again}", row.attempt)
            }
            State::Paused => format!(
                "failed in every attempt: {}; the run is paused for it, until `coord continue`",
                row.remark
            ),
            State::Restarting { until } => {
                format!(
                    "failed: {}; is started again in {}",
                    row.remark,
                    left(until)
                )
            }
            State::Stopping => format!("was asked to stop{}", process(row)),
            _ => row.state.name().to_owned(),
        }
    }

    fn waits_for(&self, row: &Row) -> String {
        let needs = row.needs.iter().map(|need| &self.rows[*need]);
        let waits = needs.filter(|need| !is_satisfied(need));
        let told = |need: &Row| format!("{} ({})", need.id, need.state.name());
        let mut waits: Vec<String> = waits.map(told).collect();
        let any: Vec<&Row> = row.needs_any.iter().map(|need| &self.rows[*need]).collect();
        if !any.is_empty() && !any.iter().any(|need| has_completed(need)) {
            let any: Vec<String> = any.into_iter().map(told).collect();
            waits.push(any.join(" or "));
        }
        if !waits.is_empty() {
            return format!("waits for {}", waits.join(", "));
        }
        if self.is_paused {
            return "waits until the run is continued".to_owned();
        }
        if let Some(short) = self.lacks_resource(row) {
            return short;
        }
        self.lacks_place()
    }

    fn lacks_place(&self) -> String {
        let taken = self.rows.iter().filter(|row| takes_place(row)).count();
        format!(
            "waits for a place: {taken} of {} are taken",
            self.concurrency
        )
    }

    /// The first of the resources of which there is not enough left for it.
    fn lacks_resource(&self, row: &Row) -> Option<String> {
        row.resources.iter().find_map(|(name, asked)| {
            let there = self.resources.get(name)?;
            let takes = |row: &Row| row.resources.get(name).map_or(0, |taken| taken.get());
            let users = self
                .rows
                .iter()
                .filter(|row| has_permits(row) && takes(row) > 0);
            let taken: u32 = users.clone().map(takes).sum();
            let users: Vec<&str> = users.map(|user| user.id.as_str()).collect();
            let is_short = taken + asked.get() > there.get();
            let users = users.join(", ");
            is_short.then(|| format!("waits for {name}: {taken} of {there} are taken, by {users}"))
        })
    }

    /// Those that keep a service from being stopped.
    fn users(&self, row: &Row) -> String {
        let place = self.place(&row.id);
        let users = self.rows.iter().filter(|user| {
            let mut needs = user.needs.iter().chain(&user.needs_any);
            !user.state.is_over() && needs.any(|need| Some(*need) == place)
        });
        let users: Vec<&str> = users.map(|user| user.id.as_str()).collect();
        if users.is_empty() {
            String::new()
        } else {
            format!("; needed by {}", users.join(", "))
        }
    }
}

/// Whether what needs it may begin.
fn is_satisfied(need: &Row) -> bool {
    if need.is_service {
        !matches!(need.state, State::Waiting | State::Starting) && need.incarnation > 0
    } else {
        need.state.is_over()
    }
}

/// Whether what needs it or any of others may begin.
fn has_completed(need: &Row) -> bool {
    match need.is_service {
        true => is_satisfied(need) && !matches!(need.state, State::Failed | State::Skipped),
        false => need.state == State::Done,
    }
}

/// Whether it takes one of the places of those that run at once.
fn takes_place(row: &Row) -> bool {
    match row.state {
        // What only waits leaves its place to others.
        _ if row.waits.is_some() => false,
        State::Running | State::Starting => true,
        State::Stopping => !row.is_service,
        _ => false,
    }
}

/// Whether it has the resources that it takes, as it does between two attempts, too.
fn has_permits(row: &Row) -> bool {
    takes_place(row) || matches!(row.state, State::Retrying { .. })
}

fn attempt(row: &Row) -> String {
    match row.attempts_max {
        1 => String::new(),
        of => format!(", attempt {} of {of}", row.attempt),
    }
}

/// How far it is, if it is done for each of a list.
fn items(row: &Row) -> String {
    let said = row
        .parts
        .map(|(done, of)| format!(", {done} of {of} items are done"));
    said.unwrap_or_default()
}

fn process(row: &Row) -> String {
    match (row.pid, row.items.len()) {
        (Some(pid), _) => format!("; process {pid}"),
        (None, 0) => String::new(),
        (None, 1) => "; 1 process".to_owned(),
        (None, processes) => format!("; {processes} processes"),
    }
}

fn said(row: &Row) -> String {
    let printed = match row.printed {
        Some(printed) => format!("; printed its last line {} ago", Spoken(printed.elapsed())),
        None => "; has printed nothing".to_owned(),
    };
    printed + &process(row)
}

fn left(until: Instant) -> Spoken {
    Spoken(until.saturating_duration_since(Instant::now()))
}
