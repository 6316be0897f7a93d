//! What a screen is to show anew.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds;

/// A component of a screen is to be drawn anew.
///
/// Of several for one component only the newest need be drawn: each says all that there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UiUpdate {
    /// Which component: `status`, `theme`, `terminal`, `command.deploy`.
    pub component: String,
    /// When.
    pub at: Timestamp,
    /// What it is to show.
    #[serde(flatten)]
    pub change: UiChange,
}

/// What a component of a screen is to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UiChange {
    /// This text.
    Text {
        /// The text.
        text: String,
    },
    /// Everything, in other colours.
    Theme {
        /// On which ground.
        appearance: Appearance,
        /// Whether in colours at all.
        colors: bool,
    },
    /// Everything, in another size.
    Resized {
        /// How many characters a line has.
        columns: u16,
        /// How many lines there are.
        rows: u16,
    },
    /// How far something has got.
    Progress {
        /// How much is done.
        done: u64,
        /// Of how much, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// How long it has taken so far, in seconds.
        #[serde(with = "seconds")]
        elapsed: Duration,
        /// What is being done, in a few words.
        message: String,
    },
}

/// The ground on which a screen is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Appearance {
    /// Light letters on a dark ground: what a terminal has that says nothing of itself.
    #[default]
    Dark,
    /// Dark letters on a light ground.
    Light,
}
