//! What is printed by commands that tell of something: text for people, or JSON for programs.

use clap::ValueEnum;

/// How one thing is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Told {
    /// For people.
    #[default]
    Text,
    /// One document for programs.
    Json,
}

/// How a report is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reported {
    /// A page for a browser.
    #[default]
    Html,
    /// For a terminal.
    Text,
    /// One document for programs.
    Json,
}

/// How several things are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// For people.
    #[default]
    Text,
    /// All of them as one list, for programs.
    Json,
    /// One a line, for programs.
    Jsonl,
}

/// How what comes bit by bit is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lines {
    /// For people.
    #[default]
    Text,
    /// One a line, for programs.
    Jsonl,
}
