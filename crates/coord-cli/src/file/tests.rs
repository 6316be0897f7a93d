//! Workflow files: what is read from them, and how what is wrong with them is told.

mod faults;
mod manual;
mod schema;
mod values;

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

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
