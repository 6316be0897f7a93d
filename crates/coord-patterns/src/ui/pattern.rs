//! The pattern: what a screen can ask, and how its watching begins.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::vocabulary::{CONFIG_CHANGE, ERROR_DETECTED, UI_UPDATE};
use coord_bus::{BoxFuture, BusExt, Failure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::directory::Directory;
use super::settings::{find, nothing, read};
use super::watch::Watch;
use super::{DynamicUiConfig, Theme, ThemeChoice, UiError};
use crate::pattern::{Claim, Pattern, PatternContext};

/// A dynamic user interface: see the [module](super). Cheap to clone. It has `reads`,
/// `config_changes`, `faulty_reads` and `ui_updates` in its statistics.
#[derive(Clone)]
pub struct DynamicUi {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) config: DynamicUiConfig,
    pub(super) settings: Mutex<Arc<Value>>,
    pub(super) measure: Box<dyn Fn() -> Option<(u16, u16)> + Send + Sync>,
}

impl DynamicUi {
    /// One that watches nothing until it is enabled. Its settings are read then.
    pub fn new(config: DynamicUiConfig) -> Self {
        Self::with_size(config, terminal_size)
    }

    /// With this for the columns and rows of its terminal, instead of asking the system for those
    /// of the one that standard output, standard error or standard input is.
    pub fn with_size(
        config: DynamicUiConfig,
        size: impl Fn() -> Option<(u16, u16)> + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                settings: Mutex::new(Arc::new(nothing())),
                measure: Box::new(size),
            }),
        }
    }

    /// All settings, as they were read last.
    pub fn settings(&self) -> Arc<Value> {
        Arc::clone(&locked(&self.shared.settings))
    }

    /// The setting of this path, `ui.width`, if it is there.
    ///
    /// # Errors
    ///
    /// [`UiError::Setting`] if it is of another kind.
    pub fn setting<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, UiError> {
        let settings = self.settings();
        let Some(value) = find(&settings, path) else {
            return Ok(None);
        };
        let value = T::deserialize(value).map_err(|source| UiError::Setting {
            setting: path.to_owned(),
            source,
        });
        value.map(Some)
    }

    /// The theme, by the settings as they were read last.
    pub fn theme(&self) -> Theme {
        let config = &self.shared.config;
        let said = self.setting(&config.theme_setting).ok().flatten();
        // A setting that is no theme says nothing.
        let choice = said.filter(|choice| *choice != ThemeChoice::Auto);
        Theme::detect(choice.unwrap_or(config.theme), |name| {
            std::env::var_os(name)
        })
    }

    /// The columns and rows of the terminal, if there is one.
    pub fn size(&self) -> Option<(u16, u16)> {
        (self.shared.measure)()
    }
}

impl Pattern for DynamicUi {
    fn name(&self) -> &str {
        &self.shared.config.name
    }

    fn claims(&self) -> Vec<Claim> {
        let file = self.shared.config.file.as_ref();
        let claim = file.map(|file| Claim::new("file", file.display().to_string()));
        claim.into_iter().collect()
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let changed = Arc::new(Notify::new());
            let mut directory = None;
            if let Some(file) = &self.shared.config.file {
                // Watched before it is read, so that no change falls between the two.
                directory = Some(Directory::of(file, &changed)?);
                *locked(&self.shared.settings) = Arc::new(read(file)?);
            }
            let bus = context.bus();
            let watch = Watch {
                ui: self.clone(),
                changed,
                resized: signal(SignalKind::window_change())?,
                changes: bus.publisher(&CONFIG_CHANGE)?,
                updates: bus.publisher(&UI_UPDATE)?,
                errors: bus.publisher(&ERROR_DETECTED)?,
                theme: self.theme(),
                size: self.size(),
                waiting: Vec::new(),
                fault: None,
                directory,
                unheard: None,
                context: context.clone(),
            };
            context.spawn("watch", watch.run());
            Ok(())
        })
    }
}

fn terminal_size() -> Option<(u16, u16)> {
    use rustix::termios::tcgetwinsize;
    let sizes = [
        tcgetwinsize(std::io::stdout()),
        tcgetwinsize(std::io::stderr()),
        tcgetwinsize(std::io::stdin()),
    ];
    let size = sizes.into_iter().find_map(Result::ok)?;
    Some((size.ws_col, size.ws_row))
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for DynamicUi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DynamicUi")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
