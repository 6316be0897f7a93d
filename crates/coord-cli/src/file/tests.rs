//! Workflow files: what is read from them, and how what is wrong with them is told.

mod conditions;
mod declared;
mod faults;
mod manual;
mod schema;
mod values;

use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::{FileFaults, WorkflowFile};

/// Reads a text as the file `dev.toml`, and has the schema asked the same.
fn read(text: &str) -> Result<WorkflowFile, FileFaults> {
    let file = WorkflowFile::parse(Path::new("dev.toml"), text.as_bytes());
    schema::agrees(text, file.as_ref().err());
    file
}

fn valid(text: &str) -> WorkflowFile {
    read(text).unwrap_or_else(|faults| panic!("{}", rendered(&faults)))
}

/// The faults of a text as a terminal shows them, without colours.
fn told(text: &str) -> String {
    rendered(&read(text).expect_err("the file has faults"))
}

fn rendered(faults: &FileFaults) -> String {
    let mut rendered = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(80)
        .render_report(&mut rendered, faults)
        .expect("every fault can be shown");
    rendered
}

/// The codes of the faults of a text, with their lines.
fn found(text: &str) -> Vec<(String, usize)> {
    let faults = read(text).expect_err("the file has faults");
    let related = faults.related().expect("there are faults");
    let found = related.map(|fault| {
        let code = fault.code().expect("every fault has a code").to_string();
        let offset = fault
            .labels()
            .into_iter()
            .flatten()
            .map(|label| label.offset());
        let line = text[..offset.min().unwrap_or(0)].matches('\n').count() + 1;
        (code.replace("coord::file::", ""), line)
    });
    found.collect()
}
