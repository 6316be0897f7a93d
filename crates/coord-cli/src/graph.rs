//! `coord graph`: what needs what in a file.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};

use coordination::workflow::{Graph, GraphStep};
use serde::Serialize;

use crate::args::{GraphArgs, GraphFormat};
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;
use crate::run::on_runtime;
use crate::runs::{self, RunsFault};
use crate::screen;
use crate::validate::{Checked, refuse};

/// Draws a file without faults on standard output.
pub(crate) fn graph(args: &GraphArgs) -> ExitCode {
    let graph = match Checked::look(&args.of, &args.select.selection()) {
        Ok(checked) => {
            checked.say_where(args.of.color);
            of(&checked.file, &checked.runs)
        }
        // What is no file may be a run.
        Err(report) => match (run(args), flag_of_file(args)) {
            (Some(graph), None) => graph,
            (Some(_), Some(flag)) => {
                let fault = RunsFault::FlagOfFile { flag };
                return refuse(args.of.color, &fault.into());
            }
            (None, _) => return refuse(args.of.color, &report),
        },
    };
    let mut out = screen::out(args.of.color.into());
    let drawn = draw(&mut out, &graph, args.format);
    match drawn {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}

/// A flag that says something of a file, and nothing of a run.
fn flag_of_file(args: &GraphArgs) -> Option<&'static str> {
    let param = (!args.of.params.is_empty()).then_some("--param");
    let profile = args.of.profile.is_some().then_some("--profile");
    args.select.flag().or(param).or(profile)
}

/// The graph of a run, where there is no such file.
fn run(args: &GraphArgs) -> Option<Graph> {
    let file = args.of.file.as_ref()?;
    let run = file.to_str()?;
    if file.exists() {
        return None;
    }
    let graph = on_runtime(async |_| Ok(runs::of_run(&args.journal, run).await));
    graph.ok().flatten()
}

/// What is drawn: as text by its `Display`, for programs as it serialises.
pub(crate) trait Drawing: Display + Serialize {
    fn mermaid(&self) -> String;
    fn dot(&self) -> String;
}

impl Drawing for Graph {
    fn mermaid(&self) -> String {
        self.to_mermaid()
    }

    fn dot(&self) -> String {
        self.to_dot()
    }
}

/// Draws all of it.
pub(crate) fn draw(
    out: &mut impl Write,
    drawing: &impl Drawing,
    format: GraphFormat,
) -> io::Result<()> {
    match format {
        GraphFormat::Ascii => write!(out, "{drawing}")?,
        GraphFormat::Mermaid => out.write_all(drawing.mermaid().as_bytes())?,
        GraphFormat::Dot => out.write_all(drawing.dot().as_bytes())?,
        GraphFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, drawing)?;
            writeln!(out)?;
        }
    }
    out.flush()
}

/// What needs what in a file, given whether each of its units runs.
pub(crate) fn of(file: &WorkflowFile, runs: &[bool]) -> Graph {
    let WorkflowFile { name, units, .. } = file;
    let places = units.iter().enumerate();
    let places: HashMap<&str, usize> = places.map(|(place, unit)| (&*unit.id, place)).collect();
    let steps = units.iter().zip(runs).map(|(unit, runs)| {
        let places = |ids: &[String]| -> Vec<usize> {
            ids.iter()
                .filter_map(|id| places.get(&**id).copied())
                .collect()
        };
        let step = GraphStep::new(&unit.id)
            .needs(places(&unit.needs))
            .needs_any(places(&unit.needs_any));
        match unit.step() {
            None => step.note("service"),
            Some(_) if !runs => step.note("skipped: its condition is false"),
            Some(own) if own.optional => step.note("optional"),
            Some(own) if own.each.is_some() => step.note("for each"),
            Some(_) => step,
        }
    });
    Graph::new(name, steps.collect())
}
