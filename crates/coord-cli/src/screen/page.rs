//! Where it is printed: standard output in one of its forms, and what to do when it is gone.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use coordination::bus::CancellationToken;
use coordination::bus::vocabulary::{
    ErrorDetected, ErrorRecovery, Notification, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ServiceLifecycle, WorkflowEvent,
};
use miette::{GraphicalReportHandler, GraphicalTheme, Report};

use super::jsonl;
use super::order::{Item, Order, Turn};
use super::out::{Out, out};
use super::text::{Text, services};
use crate::args::{Output, RunArgs};
use crate::board::{Board, Bounds};
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;

pub(super) struct Page {
    form: Form,
    order: Order,
    /// For the summary.
    pub(super) board: Board,
    /// How many items were printed since this was asked last.
    printed: usize,
    out: Out,
    /// After the first failure nothing more is written, but everything still received: nobody is
    /// held up by a reader that is gone.
    lost: CancellationToken,
}

enum Form {
    Text(Text),
    Jsonl,
}

impl Page {
    pub(super) fn new(args: &RunArgs, file: &WorkflowFile) -> Self {
        let (form, color) = match args.output() {
            // JSON has no control characters for a terminal to act upon.
            Output::Jsonl => (Form::Jsonl, ColorChoice::AlwaysAnsi),
            _ => (Form::Text(Text::new(file)), args.color.into()),
        };
        Self {
            form,
            order: Order::new(services(file)),
            board: Board::new(file, Bounds::TAIL),
            printed: 0,
            out: out(color),
            lost: CancellationToken::new(),
        }
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    pub(super) fn output(&mut self, line: &ProcessOutput) {
        if self.order.line(line) {
            self.print_line(line);
        }
    }

    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        let items = self.order.lifecycle(event);
        self.print_items(items);
    }

    pub(super) fn workflow(&mut self, event: &WorkflowEvent) {
        self.board.workflow(event);
        let turn = Turn::Workflow(event);
        self.turn(&turn, |form, out| match form {
            Form::Text(text) => text.transition(out, &event.transition),
            Form::Jsonl => jsonl::line(out, "workflow-events", event),
        });
    }

    pub(super) fn service(&mut self, event: &ServiceLifecycle) {
        self.board.service(event);
        let turn = Turn::Service(event);
        self.turn(&turn, |form, out| match form {
            Form::Text(text) => text.service(out, event),
            Form::Jsonl => jsonl::line(out, "service-lifecycle", event),
        });
    }

    /// Prints what begins or ends something, with what belongs before and after it.
    fn turn(&mut self, turn: &Turn<'_>, print: impl FnOnce(&Form, &mut Out) -> io::Result<()>) {
        let before = self.order.before(turn);
        self.print_items(before);
        self.print(print);
        let after = self.order.after(turn);
        self.print_items(after);
    }

    pub(super) fn health(&mut self, event: &ProcessHealth) {
        self.board.health(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.health(out, event),
            Form::Jsonl => jsonl::line(out, "process-health", event),
        });
    }

    pub(super) fn recovery(&mut self, event: &ErrorRecovery) {
        self.board.recovery(event);
        self.print(|form, out| match form {
            Form::Text(text) => text.recovery(out, event),
            Form::Jsonl => jsonl::line(out, "error-recovery", event),
        });
    }

    /// What people are told of an error is what it was noticed by.
    pub(super) fn error(&mut self, event: &ErrorDetected) {
        self.print(|form, out| match form {
            Form::Text(_) => Ok(()),
            Form::Jsonl => jsonl::line(out, "error-detected", event),
        });
    }

    /// As [`error`](Self::error).
    pub(super) fn notification(&mut self, event: &Notification) {
        self.print(|form, out| match form {
            Form::Text(_) => Ok(()),
            Form::Jsonl => jsonl::line(out, "notification", event),
        });
    }

    /// Whether something is held back until an event of the workflow that has been published.
    pub(super) fn waits(&self) -> bool {
        self.order.waits()
    }

    fn print_items(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Line(line) => self.print_line(&line),
                Item::Lifecycle(event) => self.print_lifecycle(&event),
            }
        }
    }

    /// How many items were printed since this was asked last.
    pub(super) fn take_printed(&mut self) -> usize {
        std::mem::take(&mut self.printed)
    }

    fn print_line(&mut self, line: &ProcessOutput) {
        self.printed += 1;
        self.board.output(line);
        self.print(|form, out| match form {
            Form::Text(text) => text.output(out, line),
            Form::Jsonl => jsonl::line(out, "process-output", line),
        });
    }

    fn print_lifecycle(&mut self, event: &ProcessLifecycle) {
        self.board.lifecycle(event);
        self.print(|form, out| match form {
            // The events of workflows and services say what people want to know of it.
            Form::Text(_) => Ok(()),
            Form::Jsonl => jsonl::line(out, "process-lifecycle", event),
        });
    }

    /// Says what an interrupt does, or how the run goes on.
    pub(super) fn say(&mut self, what: &str) {
        self.print(|form, out| match form {
            Form::Text(text) => text.interrupt(out, what),
            Form::Jsonl => Ok(()),
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
pub(crate) fn nothing_to_do(args: &RunArgs, workflow: &str) -> ExitCode {
    let mut out = out(args.color.into());
    let said = match args.output() {
        Output::Jsonl => Ok(()),
        _ => writeln!(out, "{workflow}: nothing to do, every condition is false"),
    };
    match said.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::NothingSelected,
        Err(_) => ExitCode::OutputLost,
    }
}

/// Prints on standard error why there is no run.
pub(crate) fn print_report(args: &RunArgs, report: &Report) -> io::Result<()> {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode());
    // Into a string nothing can fail.
    let _ = handler.render_report(&mut text, report.as_ref());
    let mut error = AutoStream::new(io::stderr(), args.color.into());
    error.write_all(text.as_bytes())?;
    error.flush()
}
