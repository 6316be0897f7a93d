//! The lines of steps in groups: held until their step has ended, so that those of one stand together.
//!
//! Services have no end that somebody waits for, and undoing, and the hooks of the run, come one after the other
//! anyway: their lines are printed as they come.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use coordination::bus::vocabulary::{ProcessOutput, Transition};

use super::out::Out;
use super::text::Text;
use crate::process_name::{hook_name, is_item, step_of};

/// How much is held of one step, and of all together: beyond that, lines are printed as they come.
const STEP_BYTES_MAX: usize = 4 << 20;
const BYTES_MAX: usize = 64 << 20;
/// What a line or a transition costs beside its text.
const OVERHEAD: usize = 128;

/// What is held.
pub(super) struct Groups {
    steps: HashMap<String, Group>,
    services: HashSet<String>,
    bytes: usize,
    is_folded: bool,
}

#[derive(Default)]
struct Group {
    held: Vec<Held>,
    bytes: usize,
    /// Whether it had so much to say that nothing of it is held any more.
    is_over: bool,
}

enum Held {
    Line(ProcessOutput),
    Transition(Transition),
}

impl Groups {
    pub(super) fn new(services: HashSet<String>, is_folded: bool) -> Self {
        Self {
            steps: HashMap::new(),
            services,
            bytes: 0,
            is_folded,
        }
    }

    pub(super) fn output(
        &mut self,
        text: &Text,
        out: &mut Out,
        line: &ProcessOutput,
    ) -> io::Result<()> {
        let step = step_of(&line.process);
        // Its hooks run before its end is told.
        let is_of_step =
            line.process == step || is_item(&line.process) || line.process == hook_name(Some(step));
        if !is_of_step || self.services.contains(step) {
            return text.output(out, line);
        }
        let bytes = line.line.len() + OVERHEAD;
        let held = || Held::Line(line.clone());
        match self.hold(step, bytes, held) {
            true => Ok(()),
            false => {
                self.overflow(text, out, step)?;
                text.output(out, line)
            }
        }
    }

    pub(super) fn transition(
        &mut self,
        text: &Text,
        out: &mut Out,
        transition: &Transition,
    ) -> io::Result<()> {
        let Some(step) = transition
            .step()
            .filter(|step| !self.services.contains(*step))
        else {
            return text.transition(out, transition);
        };
        match transition {
            Transition::StepStarted { .. }
            | Transition::StepRetrying { .. }
            | Transition::PartCompleted { .. }
            | Transition::HookFailed { .. } => {
                let held = || Held::Transition(transition.clone());
                match self.hold(step, OVERHEAD, held) {
                    true => Ok(()),
                    false => {
                        self.overflow(text, out, step)?;
                        text.transition(out, transition)
                    }
                }
            }
            // What is undone comes after the end of the step.
            _ => self.end(text, out, step, Some(transition)),
        }
    }

    /// Prints what is left of steps that have not ended.
    pub(super) fn rest(&mut self, text: &Text, out: &mut Out) -> io::Result<()> {
        let mut steps: Vec<_> = self.steps.keys().cloned().collect();
        steps.sort_unstable();
        steps
            .iter()
            .try_for_each(|step| self.end(text, out, step, None))
    }

    /// Whether there was room.
    fn hold(&mut self, step: &str, bytes: usize, held: impl FnOnce() -> Held) -> bool {
        let group = match self.steps.get_mut(step) {
            Some(group) => group,
            None => self.steps.entry(step.to_owned()).or_default(),
        };
        let has_room = group.bytes + bytes <= STEP_BYTES_MAX && self.bytes + bytes <= BYTES_MAX;
        if group.is_over || !has_room {
            return false;
        }
        group.held.push(held());
        group.bytes += bytes;
        self.bytes += bytes;
        true
    }

    /// Prints what is held of a step that has too much to say, and goes on without holding any of it.
    fn overflow(&mut self, text: &Text, out: &mut Out, step: &str) -> io::Result<()> {
        let group = self.steps.entry(step.to_owned()).or_default();
        if std::mem::replace(&mut group.is_over, true) {
            return Ok(());
        }
        self.bytes -= std::mem::take(&mut group.bytes);
        let held = std::mem::take(&mut group.held);
        print(text, out, &held, false)?;
        text.note(
            out,
            step,
            "has printed too much to be held: the rest is as it comes",
        )
    }

    fn end(
        &mut self,
        text: &Text,
        out: &mut Out,
        step: &str,
        last: Option<&Transition>,
    ) -> io::Result<()> {
        let group = self.steps.remove(step).unwrap_or_default();
        self.bytes -= group.bytes;
        let is_folded = self.is_folded && !group.held.is_empty();
        if is_folded {
            writeln!(out, "::group::{step}")?;
        }
        print(text, out, &group.held, is_folded)?;
        if is_folded {
            writeln!(out, "::endgroup::")?;
        }
        // Outside of what is folded: how it ended is seen at once.
        last.map_or(Ok(()), |last| text.transition(out, last))
    }
}

fn print(text: &Text, out: &mut Out, held: &[Held], is_folded: bool) -> io::Result<()> {
    held.iter().try_for_each(|held| match held {
        Held::Line(line) if is_folded => text.folded(out, line),
        Held::Line(line) => text.output(out, line),
        Held::Transition(transition) => text.transition(out, transition),
    })
}
