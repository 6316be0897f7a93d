//! A dynamic user interface: settings that are read anew when their file changes, the theme, and
//! the size of the terminal, as events.
//!
//! [`DynamicUi`] is a [`Pattern`](crate::pattern::Pattern) that publishes to
//! [`config-change`](coord_bus::vocabulary::CONFIG_CHANGE) what changed in the file, and to
//! [`ui-update`](coord_bus::vocabulary::UI_UPDATE), for the components `config`, `theme` and
//! `terminal`, what a screen is to show anew.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use coord_bus::vocabulary::{Appearance, CONFIG_CHANGE};
//! use coord_bus::{BusExt, LocalBus};
//! use coord_patterns::pattern::IntegrationPatterns;
//! use coord_patterns::ui::DynamicUiConfig;
//!
//! let house = tempfile::tempdir()?;
//! let file = house.path().join("app.toml");
//! std::fs::write(&file, "[ui]\ntheme = 'dark'\nwidth = 80\n")?;
//!
//! let bus = Arc::new(LocalBus::new());
//! let mut changes = bus.subscribe(&CONFIG_CHANGE)?;
//! let patterns = IntegrationPatterns::new(bus);
//! let mut config = DynamicUiConfig::default();
//! config.file = Some(file.clone());
//! let ui = patterns.create_dynamic_ui_pattern(config)?;
//! patterns.enable("dynamic-ui").await?;
//! assert_eq!(ui.theme().appearance, Appearance::Dark);
//!
//! std::fs::write(&file, "[ui]\ntheme = 'light'\nwidth = 80\n")?;
//! let change = changes.recv().await.unwrap();
//! assert!(change.concerns("ui.theme") && !change.concerns("ui.width"));
//! assert_eq!(ui.theme().appearance, Appearance::Light);
//! assert_eq!(ui.setting::<u32>("ui.width")?, Some(80));
//! # Ok(())
//! # }
//! ```
//!
//! # The file
//!
//! TOML, or JSON if its name ends so, of at most 1 MiB. It need not be there. Its directory is
//! watched, so that it does not matter whether an editor writes the file or puts another in its
//! place; and so is the name of the directory, and that of each link on the way to it, so that another may
//! be put there too. Where one further above it is moved, and another put there, that is noticed within a
//! second. While there is no such directory the pattern is degraded, and looks for it once a second. The
//! file is read [`settle`](DynamicUiConfig::settle) after the first sign of a change. While it cannot be
//! read or understood, the settings stay as they are, and `error-detected` says in which line and column
//! why; a file that is gone has no settings.
//!
//! # The theme
//!
//! `dark` or `light` as the setting [`theme_setting`](DynamicUiConfig::theme_setting) says, or else
//! the [configuration](DynamicUiConfig::theme); with `auto` in both, as `COLORFGBG` says, which
//! some terminals set: a ground of 7 or of 9 to 15 is light. Else it is dark. There are no colours
//! where `NO_COLOR` is set and not empty, or `TERM` is `dumb`. A terminal is asked nothing: its
//! answer would come among the keys that a person types.
//!
//! # Coalescing
//!
//! Of what changes within a frame (16 ms), each component is told once, and as it is at the end. An
//! update for which there is no room is told a frame later, if nothing newer has come by then. So is a
//! change of settings told when there is room: of several until then, what each setting was before the
//! first and is after the last.

mod config;
mod theme;
mod settings;
mod directory;
mod pattern;
mod watch;
mod error;

pub use config::{DynamicUiConfig, ThemeChoice};
pub use error::UiError;
pub use pattern::DynamicUi;
pub use theme::Theme;
