//! Everything that is wrong with a workflow file, told at once.

use std::fmt::{self, Display, Formatter};

use miette::{Diagnostic, SourceCode};
use serde::Serialize;

use super::fault::FileFault;
use super::text::Text;

/// How many faults are shown: two or three screens. The rest is counted.
const FAULTS_SHOWN_MAX: usize = 50;

/// Everything that keeps a workflow file from being run; at least one fault.
#[derive(Debug, thiserror::Error)]
pub(crate) struct FileFaults {
    text: Box<Text>,
    faults: Vec<FileFault>,
    count: usize,
}

impl FileFaults {
    /// `left_out` are those that were counted only.
    pub(super) fn new(text: Text, mut faults: Vec<FileFault>, left_out: usize) -> Self {
        let count = faults.len() + left_out;
        faults.sort_by_key(FileFault::offset);
        faults.truncate(FAULTS_SHOWN_MAX);
        Self {
            text: Box::new(text),
            faults,
            count,
        }
    }

    pub(super) fn one(text: Text, fault: FileFault) -> Self {
        Self::new(text, vec![fault], 0)
    }
}

/// A fault, as programs read it.
#[derive(Serialize)]
pub(crate) struct ToldFault {
    code: Option<String>,
    message: String,
    help: Option<String>,
    /// The file, line and column.
    at: String,
}

impl FileFaults {
    /// The file, as it was asked for.
    pub(crate) fn path(&self) -> &str {
        self.text.name()
    }

    /// How many there are, with those that are not told one by one.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn told(&self) -> impl Iterator<Item = ToldFault> {
        self.faults.iter().map(|fault| {
            let offset = fault.offset();
            let (name, place) = (self.text.name_at(offset), self.text.place(offset));
            ToldFault {
                code: fault.code().map(|code| code.to_string()),
                message: fault.to_string(),
                help: fault.help().map(|help| help.to_string()),
                at: format!("{name}:{place}"),
            }
        })
    }
}

impl Display for FileFaults {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        let name = self.text.name();
        write!(
            formatter,
            "{name} cannot be run: {} fault{plural}",
            self.count
        )?;
        if self.count > self.faults.len() {
            write!(formatter, "; {} of them are shown", self.faults.len())?;
        }
        Ok(())
    }
}

impl Diagnostic for FileFaults {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.text)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.faults.iter().map(|fault| fault as _)))
    }
}
