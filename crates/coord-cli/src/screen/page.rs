//! Where it is printed: standard output in one of its forms, and what to do when it is gone.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use coordination::bus::vocabulary::{
    ErrorDetected, ErrorRecovery, Notification, ProcessHealth, ProcessLifecycle, ProcessOutput,
    Recovery, ServiceLifecycle, Transition, WorkflowEvent,
};
use coordination::bus::{CancellationToken, Timestamp};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::Start;
use super::groups::Groups;
use super::jsonl;
use super::out::{Out, out, out_of_json};
use super::summary::failures::last_lines;
use super::text::{self, ODD, QUIET, Text};
use crate::args::{Color, Layout, Manner, Output};
use crate::board::{Board, Bounds, UNNEEDED};
use crate::exit_code::ExitCode;
use crate::happenings::Happening;
use crate::job::VARIABLE;
use crate::kept_output;
use crate::latency::ScreenLatency;
use crate::lines::Lines;
use crate::run::WATCHDOG;

pub(super) struct Page {
    form: Form,
    lines: Lines,
    /// For the summary.
    pub(super) board: Board,
    /// How many lines of output were printed since this was asked last.
    printed: usize,
    /// What there is to say before anything happens.
    before: Option<String>,
    color: Color,
    out: Out,
    /// After the first failure nothing more is written, but everything still received: nobody is
    /// held up by a reader that is gone.
    lost: CancellationToken,
    /// Whether what failed is followed by its last lines.
    fails_at_once: bool,
    /// Whether nothing else is told, as text.
    is_quiet: bool,
    latency: ScreenLatency,
}

enum Form {
    Text(Box<Text>, Option<Groups>),
    /// Nothing is told before the end.
    Json,
    Jsonl,
}

impl Page {
    pub(super) fn new(start: &Start<'_>) -> Self {
        let Start { args, file, .. } = *start;
        let color = args.color.into();
        let (form, out) = match args.output {
            Output::Jsonl => (Form::Jsonl, out_of_json(color)),
            Output::Json => (Form::Json, out_of_json(color)),
            _ => {
                let Layout {
                    is_folded, names, ..
                } = args.layout;
                let groups = || Groups::new(text::services(file), is_folded);
                let groups = args.layout.is_grouped.then(groups);
                let text = Text::new(file, Arc::clone(start.labels)).with_names(names);
                (Form::Text(Box::new(text), groups), out(color))
            }
        };
        let mut board = Board::new(file, Bounds::NOTHING, Arc::clone(start.labels));
        if let Some(before) = start.before {
            board.before(before);
        }
        let latency = match &form {
            Form::Text(_, None) | Form::Jsonl => ScreenLatency::of(start),
            // Steps are told when they are over, or not at all.
            Form::Text(_, Some(_)) | Form::Json => ScreenLatency::default(),
        };
        Self {
            form,
            latency,
            lines: Lines::default(),
            board,
            printed: 0,
            before: start.before.map(text::before),
            color: args.color,
            out,
            lost: CancellationToken::new(),
            fails_at_once: args.layout.fails_at_once,
            is_quiet: args.output == Output::Text && args.layout.is_quiet,
        }
    }

    /// Says where the run is, if it is taken up.
    pub(super) fn begin(&mut self) {
        if let Some(before) = self.before.take().filter(|_| !self.is_quiet) {
            self.print(|form, out| match form {
                Form::Text(..) => writeln!(out, "{QUIET}{before}{QUIET:#}"),
                Form::Json | Form::Jsonl => Ok(()),
            });
        }
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// A line, and when it was published, if that is known.
    pub(super) fn output(&mut self, line: &ProcessOutput, published: Option<Timestamp>) {
        // One that comes before its process has started follows as soon as that is read.
        self.latency.line(published);
        if self.lines.admit(line) {
            self.line(line);
        }
    }

    pub(super) fn happening(&mut self, happening: &Happening) {
        match happening {
            Happening::Workflow(event) => self.workflow(event),
            Happening::Service(event) => self.service(event),
            Happening::Process(event) => self.lifecycle(event),
            Happening::Health(event) => self.health(event),
            Happening::Recovery(event) => self.recovery(event),
            Happening::Error(event) => self.error(event),
            Happening::Notification(event) => self.notification(event),
        }
    }

    fn line(&mut self, line: &ProcessOutput) {
        self.printed += 1;
        self.board.output(line);
        if self.is_quiet {
            return;
        }
        self.print(|form, out| match form {
            Form::Text(text, None) => text.output(out, line),
            Form::Text(text, Some(groups)) => groups.output(text, out, line),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-output", line),
        });
    }

    fn lifecycle(&mut self, event: &ProcessLifecycle) {
        self.board.lifecycle(event);
        self.print(|form, out| match form {
            // The events of workflows and services say what people want to know of it.
            Form::Text(..) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-lifecycle", event),
        });
        for line in self.lines.after(event) {
            self.line(&line);
        }
    }

    fn workflow(&mut self, event: &WorkflowEvent) {
        let mut event = Cow::Borrowed(event);
        if let Transition::StepSkipped { step, .. } = &event.transition
            && self.board.is_service(step)
            && let Transition::StepSkipped { reason, .. } = &mut event.to_mut().transition
        {
            // It has no condition.
            UNNEEDED.clone_into(reason);
        }
        let event = &*event;
        self.latency.step(event.at);
        self.board.workflow(event);
        if self.is_quiet && !text::is_failure(&event.transition) {
            return;
        }
        self.print(|form, out| match form {
            Form::Text(text, None) => text.transition(out, &event.transition),
            Form::Text(text, Some(groups)) => groups.transition(text, out, &event.transition),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "workflow-events", event),
        });
        if self.fails_at_once {
            self.failure(event);
        }
    }

    fn service(&mut self, event: &ServiceLifecycle) {
        self.board.service(event);
        if self.is_quiet && !text::is_failure_of_service(&event.state) {
            return;
        }
        self.print(|form, out| match form {
            Form::Text(text, _) => text.service(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "service-lifecycle", event),
        });
    }

    fn health(&mut self, event: &ProcessHealth) {
        self.board.health(event);
        if self.is_quiet {
            return;
        }
        self.print(|form, out| match form {
            Form::Text(text, _) => text.health(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-health", event),
        });
    }

    fn recovery(&mut self, event: &ErrorRecovery) {
        self.board.recovery(event);
        if self.is_quiet && !matches!(event.progress, Recovery::GaveUp { .. }) {
            return;
        }
        self.print(|form, out| match form {
            Form::Text(text, _) => text.recovery(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "error-recovery", event),
        });
    }

    /// What people are told of an error is what it was noticed by.
    fn error(&mut self, event: &ErrorDetected) {
        self.print(|form, out| match form {
            Form::Text(..) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "error-detected", event),
        });
    }

    /// As [`error`](Self::error), but for what nothing else tells of.
    fn notification(&mut self, event: &Notification) {
        self.print(|form, out| match form {
            Form::Text(text, _)
                if [kept_output::TITLE, WATCHDOG, VARIABLE].contains(&&*event.title) =>
            {
                text.remark(out, &event.message)
            }
            Form::Text(..) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "notification", event),
        });
    }

    /// Prints what is held of steps that have not ended.
    pub(super) fn rest(&mut self) {
        self.print(|form, out| match form {
            Form::Text(text, Some(groups)) => groups.rest(text, out),
            _ => Ok(()),
        });
    }

    /// Prints the last lines of a step that has failed, where that is wanted at once.
    fn failure(&mut self, event: &WorkflowEvent) {
        let Transition::StepFailed { step, .. } = &event.transition else {
            return;
        };
        if matches!(self.form, Form::Text(..)) && !self.lost.is_cancelled() {
            let written = last_lines(&mut self.out, step, &self.board);
            self.check(&written);
        }
    }

    /// How many lines of output were printed since this was asked last.
    pub(super) fn take_printed(&mut self) -> usize {
        std::mem::take(&mut self.printed)
    }

    /// Says what an interrupt does, or how the run goes on.
    pub(super) fn say(&mut self, what: &str) {
        self.print(|form, out| match form {
            Form::Text(text, _) => text.remark(out, what),
            Form::Json | Form::Jsonl => Ok(()),
        });
        self.show();
    }

    /// Says on standard error what runs, and why: whatever is printed is not disturbed by it.
    pub(super) fn tell_why(&self) {
        say_all(self.color.into(), &self.board.report());
    }

    fn print(&mut self, print: impl FnOnce(&mut Form, &mut Out) -> io::Result<()>) {
        if !self.lost.is_cancelled() {
            let written = print(&mut self.form, &mut self.out);
            self.check(&written);
        }
    }

    /// Shows what was printed.
    pub(super) fn show(&mut self) {
        if !self.lost.is_cancelled() {
            let shown = self.out.flush();
            self.check(&shown);
        }
        if !self.lost.is_cancelled() {
            self.latency.shown();
        }
    }

    fn check(&mut self, written: &io::Result<()>) {
        if written.is_err() {
            self.lost.cancel();
        }
    }
}

/// Says on standard output that no step is to run.
pub(crate) fn nothing_to_do(args: Manner, workflow: &str) -> ExitCode {
    let mut out = out(args.color.into());
    let said = match args.output {
        Output::Jsonl => Ok(()),
        Output::Json => super::document::nothing(&mut out, workflow),
        _ => writeln!(out, "{workflow}: nothing to do, every condition is false"),
    };
    match said.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::NothingSelected,
        Err(_) => ExitCode::OutputLost,
    }
}

/// Prints on standard error what is wrong.
pub(crate) fn print_report(color: Color, report: &dyn Diagnostic) -> io::Result<()> {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode());
    // Into a string nothing can fail.
    let _ = handler.render_report(&mut text, report);
    let mut error = AutoStream::new(io::stderr(), color.into());
    error.write_all(text.as_bytes())?;
    error.flush()
}

/// Says something beside the run, in a line on standard error. Whoever cannot be told goes on.
pub(crate) fn say(color: Color, what: &str) {
    say_to(color.into(), what);
}

pub(super) fn say_to(color: ColorChoice, what: &str) {
    say_all(color, &[what]);
}

/// The same, in lines that stand together.
pub(super) fn say_all(color: ColorChoice, lines: &[impl Display]) {
    let mut error = AutoStream::new(io::stderr(), color);
    let said: String = lines
        .iter()
        .map(|line| format!("{ODD}{line}{ODD:#}\n"))
        .collect();
    let _ = error
        .write_all(said.as_bytes())
        .and_then(|()| error.flush());
}
