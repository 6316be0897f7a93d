//! Where it is printed: standard output in one of its forms, and what to do when it is gone.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use coordination::bus::CancellationToken;
use coordination::bus::vocabulary::{
    ErrorDetected, ErrorRecovery, Notification, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ServiceLifecycle, WorkflowEvent,
};
use miette::{GraphicalReportHandler, GraphicalTheme, Report};

use super::Start;
use super::jsonl;
use super::lines::Lines;
use super::order::Happening;
use super::out::{Out, out};
use super::text::{self, ODD, QUIET, Text};
use crate::args::{Color, Manner, Output};
use crate::board::{Board, Bounds};
use crate::exit_code::ExitCode;
use crate::kept_output;

pub(super) struct Page {
    form: Form,
    lines: Lines,
    /// For the summary.
    pub(super) board: Board,
    /// How many lines of output were printed since this was asked last.
    printed: usize,
    /// What there is to say before anything happens.
    before: Option<String>,
    out: Out,
    /// After the first failure nothing more is written, but everything still received: nobody is
    /// held up by a reader that is gone.
    lost: CancellationToken,
}

enum Form {
    Text(Text),
    /// Nothing is told before the end.
    Json,
    Jsonl,
}

impl Page {
    pub(super) fn new(start: &Start<'_>) -> Self {
        let Start { args, file, .. } = *start;
        let (form, color) = match args.output {
            // JSON has no control characters for a terminal to act upon.
            Output::Jsonl => (Form::Jsonl, ColorChoice::AlwaysAnsi),
            Output::Json => (Form::Json, ColorChoice::AlwaysAnsi),
            _ => (Form::Text(Text::new(file)), args.color.into()),
        };
        let mut board = Board::new(file, Bounds::TAIL);
        if let Some(before) = start.before {
            board.before(before);
        }
        Self {
            form,
            lines: Lines::default(),
            board,
            printed: 0,
            before: start.before.map(text::before),
            out: out(color),
            lost: CancellationToken::new(),
        }
    }

    /// Says where the run is, if it is taken up.
    pub(super) fn begin(&mut self) {
        if let Some(before) = self.before.take() {
            self.print(|form, out| match form {
                Form::Text(_) => writeln!(out, "{QUIET}{before}{QUIET:#}"),
                Form::Json | Form::Jsonl => Ok(()),
            });
        }
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    pub(super) fn output(&mut self, line: &ProcessOutput) {
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
        self.print(|form, out| match form {
            Form::Text(text) => text.output(out, line),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-output", line),
        });
    }

    fn lifecycle(&mut self, event: &ProcessLifecycle) {
        self.board.lifecycle(event);
        self.print(|form, out| match form {
            // The events of workflows and services say what people want to know of it.
            Form::Text(_) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-lifecycle", event),
        });
        for line in self.lines.after(event) {
            self.line(&line);
        }
    }

    fn workflow(&mut self, event: &WorkflowEvent) {
        self.board.workflow(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.transition(out, &event.transition),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "workflow-events", event),
        });
    }

    fn service(&mut self, event: &ServiceLifecycle) {
        self.board.service(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.service(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "service-lifecycle", event),
        });
    }

    fn health(&mut self, event: &ProcessHealth) {
        self.board.health(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.health(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-health", event),
        });
    }

    fn recovery(&mut self, event: &ErrorRecovery) {
        self.board.recovery(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.recovery(out, event),
            Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "error-recovery", event),
        });
    }

    /// What people are told of an error is what it was noticed by.
    fn error(&mut self, event: &ErrorDetected) {
        self.print(|form, out| match form {
            Form::Text(_) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "error-detected", event),
        });
    }

    /// As [`error`](Self::error), but for what nothing else tells of.
    fn notification(&mut self, event: &Notification) {
        self.print(|form, out| match form {
            Form::Text(text) if event.title == kept_output::TITLE => {
                text.interrupt(out, &event.message)
            }
            Form::Text(_) | Form::Json => Ok(()),
            Form::Jsonl => jsonl::line(out, "notification", event),
        });
    }

    /// How many lines of output were printed since this was asked last.
    pub(super) fn take_printed(&mut self) -> usize {
        std::mem::take(&mut self.printed)
    }

    /// Says what an interrupt does, or how the run goes on.
    pub(super) fn say(&mut self, what: &str) {
        self.print(|form, out| match form {
            Form::Text(text) => text.interrupt(out, what),
            Form::Json | Form::Jsonl => Ok(()),
        });
        self.show();
    }

    fn print(&mut self, print: impl FnOnce(&Form, &mut Out) -> io::Result<()>) {
        if !self.lost.is_cancelled() {
            let written = print(&self.form, &mut self.out);
            self.check(&written);
        }
    }

    /// Shows what was printed.
    pub(super) fn show(&mut self) {
        if !self.lost.is_cancelled() {
            let shown = self.out.flush();
            self.check(&shown);
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
pub(crate) fn print_report(color: Color, report: &Report) -> io::Result<()> {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode());
    // Into a string nothing can fail.
    let _ = handler.render_report(&mut text, report.as_ref());
    let mut error = AutoStream::new(io::stderr(), color.into());
    error.write_all(text.as_bytes())?;
    error.flush()
}

/// Says something beside the run, in a line on standard error. Whoever cannot be told goes on.
pub(crate) fn say(color: Color, what: &str) {
    let mut error = AutoStream::new(io::stderr(), color.into());
    let _ = writeln!(error, "{ODD}{what}{ODD:#}").and_then(|()| error.flush());
}
