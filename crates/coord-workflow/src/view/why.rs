//! Why a step is where it is: what it waits for, and who has that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::{Children, Progress, RunState, RunView, StepPhase, StepView};
use crate::RunId;

/// How many of the steps that have what another waits for are named; the others are counted.
const NAMED_MAX: usize = 8;

/// The steps that have what another one waits for: the first few, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holders {
    /// At most eight, those of the same run first.
    pub first: Vec<Holder>,
    /// How many more.
    pub more: usize,
}

/// A step that has what another one waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its run, where that is another one.
    pub run: Option<RunId>,
    /// The step.
    pub step: String,
}

/// A step, and what it has.
pub(crate) struct Holding<'s> {
    pub(crate) run: &'s RunId,
    pub(crate) step: &'s str,
    pub(crate) resources: &'s BTreeMap<String, u32>,
    /// Whether it has one of the places that steps run in.
    pub(crate) has_place: bool,
}

impl Holders {
    /// Whether it is not known who they are.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// One more, for a step of this run.
    fn add(&mut self, run: &RunId, holder: &Holding<'_>) {
        if self.first.len() == NAMED_MAX {
            self.more += 1;
            return;
        }
        self.first.push(Holder {
            run: (holder.run != run).then(|| holder.run.clone()),
            step: holder.step.to_owned(),
        });
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Holder { run, step }) in self.first.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(formatter, "{comma}`{step}`")?;
            if let Some(run) = run {
                write!(formatter, " of run `{run}`")?;
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

/// Why a step is where it is, in words: see [`Run::why`](crate::Run::why).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The run is not driven: nothing happens in it until it is resumed.
    Interrupted,
    /// The run is paused, and the step could begin.
    Paused,
    /// A run that this one is [within](crate::StepBuilder::workflow) is paused, and the step could begin: that
    /// run is to be continued.
    PausedWith(RunId),
    /// These steps, which it needs, have not ended.
    Needs(Vec<String>),
    /// It needs one of these steps to complete.
    NeedsAny(Vec<String>),
    /// It does not begin: these steps, which it needs, have failed, or do not begin for that reason.
    Blocked(Vec<String>),
    /// It waits for this signal.
    Signal(String),
    /// It waits for an event of this topic.
    Event(String),
    /// It could begin, and waits for permits of these resources.
    Permits {
        /// The resources.
        resources: Vec<String>,
        /// The steps that have permits of them. With none, it is not known who has them, and it may wait
        /// for a place as well.
        held_by: Holders,
    },
    /// It could begin, or be tried again, and waits for one of the places that steps share: those of the run, or all
    /// of the orchestrator.
    Place {
        /// The steps that have them.
        held_by: Holders,
    },
    /// It sleeps until this time, counted from the beginning of the run.
    Sleep {
        /// Until when.
        until: Duration,
    },
    /// It runs.
    Running,
    /// It waits for this run of another workflow, which is its work.
    Child(RunId),
    /// It waits for this run of another workflow, which is its work, and is paused for a step of which every attempt
    /// has failed, its own or one of a run within it: that one is to be continued.
    ChildPaused(RunId),
    /// It waits for these runs of another workflow, each of which is its work at an item of its list.
    Children(Children),
    /// It waits for runs of another workflow, each of which is its work at an item of its list; and these of them are
    /// paused for a step of which every attempt has failed, their own or one of a run within them: they are to be
    /// continued.
    ChildrenPaused(Children),
    /// It runs, and some of its work is done.
    Progress(Progress),
    /// It runs, and no further item of its list, or round, begins: a run is paused, this one or one that it is within.
    PausedParts {
        /// The run that is to be continued.
        run: RunId,
        /// How far the step is, where some of its work is done.
        progress: Option<Progress>,
    },
    /// It tries again at this time, counted from the beginning of the run, if there is a place for it then.
    Retry {
        /// When.
        at: Duration,
    },
    /// Every attempt at it has failed, the last with this error: the run is to be continued, and then
    /// it has all its attempts again; or cancelled.
    Exhausted {
        /// Why.
        error: String,
    },
    /// It is done, and is being undone.
    Undoing,
    /// It has ended.
    Over(StepPhase),
    /// It was skipped, or the run ended before it began, for this [reason](StepView::not_run).
    NotRun {
        /// Which of both.
        phase: StepPhase,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => {
                formatter.write_str("nobody drives the run: it goes on when it is resumed")
            }
            Self::Paused => {
                formatter.write_str("the run is paused: it goes on when it is continued")
            }
            Self::PausedWith(run) => write!(
                formatter,
                "run `{run}`, within which it is, is paused: it goes on when that is continued"
            ),
            Self::Needs(steps) => write!(formatter, "it waits for `{}`", steps.join("`, `")),
            Self::NeedsAny(steps) => {
                write!(formatter, "it waits for one of `{}`", steps.join("`, `"))
            }
            Self::Blocked(steps) => write!(
                formatter,
                "it does not begin, because of `{}`: once everything else has ended, the run has failed",
                steps.join("`, `")
            ),
            Self::Signal(name) => write!(formatter, "it waits for the signal `{name}`"),
            Self::Event(topic) => write!(formatter, "it waits for an event of the topic `{topic}`"),
            Self::Permits { resources, held_by } => {
                let resources = resources.join("`, `");
                write!(
                    formatter,
                    "it is ready, and waits for permits of `{resources}`"
                )?;
                match (held_by.is_empty(), held_by.more + held_by.first.len()) {
                    (true, _) => formatter.write_str(", which other runs have, or for a place"),
                    (false, 1) => write!(formatter, ", which {held_by} has"),
                    (false, _) => write!(formatter, ", which {held_by} have"),
                }
            }
            Self::Place { held_by } => {
                formatter.write_str(
                    "it is ready, and waits for a place: as many steps as may run are running",
                )?;
                match held_by.is_empty() {
                    true => Ok(()),
                    false => write!(formatter, ", which are {held_by}"),
                }
            }
            Self::Sleep { until } => {
                write!(formatter, "it waits until {until:.1?} after the run began")
            }
            Self::Running => formatter.write_str("it is running"),
            Self::Child(run) => write!(formatter, "it waits for run `{run}`, which is its work"),
            Self::ChildPaused(run) => write!(
                formatter,
                "it waits for run `{run}`, which is its work, and is paused for a step: it goes on when \
                 that run is continued, and no time limit counts until then"
            ),
            Self::Children(children) => {
                write!(formatter, "it waits for the runs of its items: {children}")?;
                match children.progress {
                    Some(progress) => write!(formatter, "; {progress}"),
                    None => Ok(()),
                }
            }
            Self::ChildrenPaused(children) => {
                let (are, those) = match children.first.len() + children.more {
                    1 => ("is", "that run is"),
                    _ => ("are", "those runs are"),
                };
                write!(
                    formatter,
                    "it waits for the runs of its items, of which {children} {are} paused for a step: it goes on \
                     when {those} continued, and no time limit counts until then"
                )
            }
            Self::Progress(progress) => write!(formatter, "it is running: {progress}"),
            Self::PausedParts { run, progress } => {
                formatter.write_str("it is running: ")?;
                match progress {
                    Some(progress) => write!(formatter, "{progress}, and no further one")?,
                    None => formatter.write_str("no further item, or round,")?,
                }
                write!(formatter, " begins while run `{run}` is paused")
            }
            Self::Retry { at } => write!(
                formatter,
                "its last attempt failed, and the next is made {at:.1?} after the run began"
            ),
            Self::Exhausted { error } => write!(
                formatter,
                "the run is paused for it, as every attempt has failed: {error}; it is tried anew when \
                 the run is continued"
            ),
            Self::Undoing => formatter.write_str("it is being undone"),
            Self::Over(phase) => write!(formatter, "it is over: {phase}"),
            Self::NotRun {
                phase: StepPhase::Skipped,
                reason,
            } => write!(formatter, "it was skipped: {reason}"),
            Self::NotRun { reason, .. } => write!(formatter, "it did not run: {reason}"),
        }
    }
}

impl RunView {
    /// What a step waits for, or else what it does. `None`: there is no such step.
    ///
    /// Of those who have what it waits for, the run itself knows its own steps. Those of other runs are
    /// told, too, by [`Run::why`](crate::Run::why) where the run goes on, and by
    /// [`RunJournal::why`](crate::RunJournal::why) elsewhere.
    pub fn why(&self, id: &str) -> Option<Why> {
        let step = self.step(id)?;
        let left = |needs: &[usize]| -> Vec<String> {
            let steps = needs.iter().map(|need| &self.steps[*need]);
            let left = steps.filter(|need| !need.phase.is_over());
            left.map(|need| need.id.clone()).collect()
        };
        let (needs, any) = (left(&step.needs), left(&step.needs_any));
        let mut among = step.needs_any.iter().map(|need| self.steps[*need].phase);
        let has_any = any.is_empty() || among.any(|phase| phase == StepPhase::Completed);
        Some(match step.phase {
            _ if step.is_being_undone && self.state == RunState::Running => Why::Undoing,
            phase if phase.is_over() && !step.is_being_undone => match step.not_run.clone() {
                Some(reason) => Why::NotRun { phase, reason },
                None => Why::Over(phase),
            },
            StepPhase::Exhausted => Why::Exhausted {
                error: step.error.clone().unwrap_or_default(),
            },
            _ if self.state == RunState::Interrupted => Why::Interrupted,
            StepPhase::Waiting if step.is_blocked => Why::Blocked(self.blocking(step)),
            StepPhase::Waiting if !needs.is_empty() => Why::Needs(needs),
            StepPhase::Waiting if !has_any => Why::NeedsAny(any),
            StepPhase::Waiting if self.paused_by.is_some() => match &self.paused_by {
                Some(run) if *run != self.run => Why::PausedWith(run.clone()),
                _ => Why::Paused,
            },
            StepPhase::Waiting if !step.resources.is_empty() => self.permits(step, self.holding()),
            StepPhase::Waiting => self.place(self.holding()),
            StepPhase::Retrying => Why::Retry {
                at: step.ended.unwrap_or_default(),
            },
            _ => match (&step.signal, &step.event, &step.child) {
                (Some(signal), ..) => Why::Signal(signal.clone()),
                (None, Some(topic), _) => Why::Event(topic.clone()),
                (None, None, Some(run)) if step.child_is_paused => Why::ChildPaused(run.clone()),
                (None, None, Some(run)) => Why::Child(run.clone()),
                (None, None, None) => match (step.sleeps_until, Children::of(step)) {
                    (Some(until), _) => Why::Sleep { until },
                    (None, Some((children, true))) => Why::ChildrenPaused(children),
                    (None, Some((children, false))) => Why::Children(children),
                    (None, None) => match &self.paused_by {
                        Some(run) if step.has_parts && self.ending.is_none() => Why::PausedParts {
                            run: run.clone(),
                            progress: step.progress,
                        },
                        _ => step.progress.map_or(Why::Running, Why::Progress),
                    },
                },
            },
        })
    }

    /// The resources that a step waits for, of which these steps have some.
    pub(crate) fn permits<'s>(
        &self,
        step: &StepView,
        holding: impl Iterator<Item = Holding<'s>>,
    ) -> Why {
        let wants = &step.resources;
        let (mut held, mut held_by) = (BTreeSet::new(), Holders::default());
        for holder in holding {
            let shared = holder
                .resources
                .keys()
                .filter(|name| wants.contains_key(*name));
            let shared: Vec<_> = shared.cloned().collect();
            if !shared.is_empty() {
                held.extend(shared);
                held_by.add(&self.run, &holder);
            }
        }
        Why::Permits {
            resources: match held.is_empty() {
                true => wants.keys().cloned().collect(),
                false => held.into_iter().collect(),
            },
            held_by,
        }
    }

    /// That a step waits for a place, of which these steps have those that take one.
    pub(crate) fn place<'s>(&self, holding: impl Iterator<Item = Holding<'s>>) -> Why {
        let mut held_by = Holders::default();
        for holder in holding.filter(|holder| holder.has_place) {
            held_by.add(&self.run, &holder);
        }
        Why::Place { held_by }
    }

    /// The steps that are under way: one that tries again has the permits that it takes, from its first attempt to
    /// the end of its last, and no place in between.
    pub(crate) fn holding(&self) -> impl Iterator<Item = Holding<'_>> {
        let has = |step: &&StepView| matches!(step.phase, StepPhase::Running | StepPhase::Retrying);
        self.steps.iter().filter(has).map(|step| Holding {
            run: &self.run,
            step: &step.id,
            resources: &step.resources,
            has_place: step.takes_place && step.phase == StepPhase::Running,
        })
    }
}
