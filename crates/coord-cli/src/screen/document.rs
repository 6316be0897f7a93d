//! How a run ended, as one document for programs: what `coord show --output json` says of it, and what is known
//! only here.

use std::collections::BTreeMap;
use std::io::{self, Write};

use coordination::bus::vocabulary::Exit;
use coordination::workflow::RunView;
use serde::Serialize;

use super::summary;
use crate::board::{Board, Lived};
use crate::ended::Ended;
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;

#[derive(Serialize)]
struct Document<'e> {
    #[serde(flatten)]
    view: RunView,
    exit_code: u8,
    /// How the last process of each step and service ended that ran.
    exits: BTreeMap<&'e str, Exit>,
    /// The service whose failure ended the run.
    service: Option<Failed<'e>>,
    /// How those lived that were ready.
    services: Vec<Lived<'e>>,
    hooks: Vec<Failed<'e>>,
}

/// What failed: a service, or the hook of a step, or of the run.
#[derive(Serialize)]
struct Failed<'e> {
    id: Option<&'e str>,
    error: &'e str,
}

/// A run in which nothing was to be done.
#[derive(Serialize)]
struct Nothing<'f> {
    workflow: &'f str,
    state: &'static str,
    exit_code: u8,
    steps: [(); 0],
}

pub(super) fn print(
    out: &mut impl Write,
    ended: &Ended,
    code: ExitCode,
    file: &WorkflowFile,
    board: &Board,
) -> io::Result<()> {
    let exits = board.rows.iter();
    let service = ended.service.as_ref();
    let hooks = ended.hooks.iter().map(|hook| Failed {
        id: hook.unit.map(|place| &*file.units[place].id),
        error: &hook.why,
    });
    let view = ended.outcome.view();
    let document = Document {
        services: summary::lived(ended, board, view.started_at).collect(),
        view,
        exit_code: code as u8,
        exits: exits
            .filter_map(|row| Some((&*row.id, row.exit?)))
            .collect(),
        service: service.map(|service| Failed {
            id: Some(&service.id),
            error: &service.why,
        }),
        hooks: hooks.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

pub(super) fn nothing(out: &mut impl Write, workflow: &str) -> io::Result<()> {
    let nothing = Nothing {
        workflow,
        state: "nothing-to-do",
        exit_code: ExitCode::NothingSelected as u8,
        steps: [],
    };
    serde_json::to_writer_pretty(&mut *out, &nothing)?;
    writeln!(out)
}
