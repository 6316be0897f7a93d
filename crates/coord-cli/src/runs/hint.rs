//! The commands that a person is told: they name the journal where it is not the usual one, so that they can be
//! pasted.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, Report, Severity, SourceCode};

/// The commands that take a journal and are about its runs.
const ABOUT_RUNS: [&str; 16] = [
    "attach", "cancel", "continue", "list", "logs", "pause", "report", "restart", "resume",
    "retry", "show", "signal", "skip", "stop", "why", "graph",
];

/// A text in whose commands, which stand between backticks, the journal is named by this flag.
pub(super) fn hint(text: &str, flag: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(number, piece)| {
        let mut words = piece.split(' ');
        let is_command = number % 2 == 1 && words.next() == Some("coord");
        match words.next().filter(|_| is_command) {
            Some(command) if ABOUT_RUNS.contains(&command) => format!("{piece}{flag}"),
            _ => piece.to_owned(),
        }
    });
    pieces.collect::<Vec<_>>().join("`")
}

/// What is wrong, with a help of which the commands name the journal.
#[derive(Debug)]
pub(super) struct Hinting<'r> {
    pub(super) report: &'r Report,
    pub(super) flag: String,
}

impl fmt::Display for Hinting<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(out)
    }
}

impl std::error::Error for Hinting<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let error: &(dyn std::error::Error + 'static) = self.report.as_ref();
        error.source()
    }
}

impl Diagnostic for Hinting<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.report.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.report.help()?.to_string();
        Some(Box::new(hint(&help, &self.flag)))
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.url()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.report.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.report.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        self.report.related()
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.report.diagnostic_source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_about_runs_name_the_journal_and_nothing_else_does() {
        let text =
            "`coord show r` tells it, `coord run` begins anew, coord stops; `coord list` and `x`";
        let hinted = hint(text, " --journal j");
        assert_eq!(
            hinted,
            "`coord show r --journal j` tells it, `coord run` begins anew, coord stops; \
             `coord list --journal j` and `x`"
        );
        assert_eq!(hint(text, ""), text);
    }
}
