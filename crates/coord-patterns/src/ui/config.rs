//! How a dynamic user interface is set up.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a dynamic user interface is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DynamicUiConfig {
    /// What the pattern is called; `dynamic-ui` by default.
    pub name: String,
    /// The file with the settings; none by default.
    pub file: Option<PathBuf>,
    /// How long after the first sign of a change it is read; `"50ms"` by default. A number is one of
    /// seconds.
    #[serde(with = "coord_bus::duration")]
    pub settle: Duration,
    /// The theme, where the settings do not say; `auto` by default.
    pub theme: ThemeChoice,
    /// Which setting says it; `ui.theme` by default.
    pub theme_setting: String,
}

impl Default for DynamicUiConfig {
    fn default() -> Self {
        Self {
            name: "dynamic-ui".to_owned(),
            file: None,
            settle: Duration::from_millis(50),
            theme: ThemeChoice::Auto,
            theme_setting: "ui.theme".to_owned(),
        }
    }
}

/// Which theme is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThemeChoice {
    /// That of the terminal, as far as it says.
    #[default]
    Auto,
    /// Light letters on a dark ground.
    Dark,
    /// Dark letters on a light ground.
    Light,
}
