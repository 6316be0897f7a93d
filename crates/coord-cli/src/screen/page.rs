//! Where it is printed: standard output in one of its forms, and what to do when it is gone.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use coordination::bus::CancellationToken;
use coordination::bus::vocabulary::{ProcessLifecycle, ProcessOutput, WorkflowEvent};
use coordination::workflow::Outcome;
use miette::{GraphicalReportHandler, GraphicalTheme, Report};

use super::order::{Item, Order};
use super::out::{Out, out};
use super::text::Text;
use super::{jsonl, summary};
use crate::args::{Output, RunArgs};
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;

pub(super) struct Page {
    form: Form,
    order: Order,
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
        let (form, color) = match args.output {
            Output::Text => (Form::Text(Text::new(file)), args.color.into()),
            // JSON has no control characters for a terminal to act upon.
            Output::Jsonl => (Form::Jsonl, ColorChoice::AlwaysAnsi),
        };
        Self {
            form,
            order: Order::default(),
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
        let before = self.order.before(&event.transition);
        self.print_items(before);
        let written = match &mut self.form {
            _ if self.lost.is_cancelled() => Ok(()),
            Form::Text(text) => text.transition(&mut self.out, &event.transition),
            Form::Jsonl => jsonl::line(&mut self.out, "workflow-events", event),
        };
        self.check(&written);
        let after = self.order.after(&event.transition);
        self.print_items(after);
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
        let written = match &mut self.form {
            _ if self.lost.is_cancelled() => Ok(()),
            Form::Text(text) => text.output(&mut self.out, line),
            Form::Jsonl => jsonl::line(&mut self.out, "process-output", line),
        };
        self.check(&written);
    }

    fn print_lifecycle(&mut self, event: &ProcessLifecycle) {
        let written = match &mut self.form {
            _ if self.lost.is_cancelled() => Ok(()),
            // The workflow's events say what people want to know of it.
            Form::Text(_) => Ok(()),
            Form::Jsonl => jsonl::line(&mut self.out, "process-lifecycle", event),
        };
        self.check(&written);
    }

    /// Says what the first, second or third interrupt does.
    pub(super) fn interrupt(&mut self, which: usize) {
        let written = match &self.form {
            Form::Text(text) if !self.lost.is_cancelled() => text.interrupt(&mut self.out, which),
            _ => Ok(()),
        };
        self.check(&written);
        self.show();
    }

    /// Shows what was printed.
    pub(super) fn show(&mut self) {
        if !self.lost.is_cancelled() {
            let shown = self.out.flush();
            self.check(&shown);
        }
    }

    pub(super) fn finish(mut self, outcome: &Outcome, file: &WorkflowFile) -> bool {
        if let Form::Text(text) = &self.form
            && !self.lost.is_cancelled()
        {
            let written = summary::print(&mut self.out, outcome, file, text);
            self.check(&written);
        }
        self.show();
        !self.lost.is_cancelled()
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
    let said = match args.output {
        Output::Text => writeln!(out, "{workflow}: nothing to do, every condition is false"),
        Output::Jsonl => Ok(()),
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
