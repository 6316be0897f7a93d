//! Watches the file and the terminal, and tells.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::{
    ConfigChange, ConfigValue, ErrorDetected, Severity, UiChange, UiUpdate,
};
use coord_bus::{Publisher, WithCauses};
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;

use super::directory::Directory;
use super::pattern::{DynamicUi, locked};
use super::settings::{changes, read};
use super::{Theme, UiError};
use crate::pattern::PatternContext;

/// A frame, of which there are sixty a second.
const FRAME: Duration = Duration::from_millis(16);

/// How long a file that cannot be understood may be one that is still being written.
const WRITING: Duration = Duration::from_millis(200);

/// From one look whether the directory is there, and the one that is watched, to the next.
const LOOKING: Duration = Duration::from_secs(1);

pub(super) struct Watch {
    pub(super) ui: DynamicUi,
    pub(super) changed: Arc<Notify>,
    pub(super) resized: Signal,
    pub(super) changes: Publisher<ConfigChange>,
    pub(super) updates: Publisher<UiUpdate>,
    pub(super) errors: Publisher<ErrorDetected>,
    pub(super) theme: Theme,
    pub(super) size: Option<(u16, u16)>,
    /// What is to be told, one update for each component.
    pub(super) waiting: Vec<UiUpdate>,
    /// What was wrong with the file, as it was told last.
    pub(super) fault: Option<String>,
    /// What of the settings has changed and is to be told, as one change.
    pub(super) unheard: Option<ConfigChange>,
    pub(super) directory: Option<Directory>,
    pub(super) context: PatternContext,
}

impl Watch {
    pub(super) async fn run(mut self) {
        let token = self.context.token();
        let watching = async {
            // Whatever else happens meanwhile.
            let mut look = Instant::now() + LOOKING;
            loop {
                let is_waiting = !self.waiting.is_empty();
                // A screen need not wait for who is slow to hear of settings.
                let publish = hear(&self.changes, self.unheard.clone());
                select! {
                    () = self.changed.notified() => {
                        time::sleep(self.ui.shared.config.settle).await;
                        self.read_anew().await;
                    }
                    Some(()) = self.resized.recv() => {
                        // What else comes within the frame is read with it.
                        time::sleep(FRAME).await;
                        self.measure();
                    }
                    () = time::sleep(FRAME), if is_waiting => {}
                    () = time::sleep_until(look), if self.directory.is_some() => {
                        if self.directory.as_ref().is_some_and(Directory::is_stale) {
                            self.read_anew().await;
                        }
                        look = Instant::now() + LOOKING;
                    }
                    is_heard = publish => {
                        self.unheard = None;
                        self.context.counter("config_changes").add(u64::from(is_heard));
                    }
                }
                self.tell();
            }
        };
        select! {
            () = token.cancelled() => {}
            () = watching => {}
        }
    }

    async fn read_anew(&mut self) {
        let Some(file) = self.ui.shared.config.file.clone() else {
            return;
        };
        self.context.counter("reads").add(1);
        // Watched before it is read, so that no change falls between the two.
        let watched = self.directory.as_mut().map_or(Ok(()), Directory::renew);
        let mut settings = read(&file);
        if matches!(settings, Err(UiError::Syntax { .. })) {
            time::sleep(WRITING).await;
            settings = read(&file);
        }
        let after = match settings {
            Ok(settings) => Arc::new(settings),
            Err(error) => {
                self.context.counter("faulty_reads").add(1);
                return self.faulty(&error);
            }
        };
        match watched {
            Err(error) => self.faulty(&error),
            Ok(()) if self.fault.take().is_some() => self.context.recovered(),
            Ok(()) => {}
        }
        let before = std::mem::replace(&mut *locked(&self.ui.shared.settings), Arc::clone(&after));
        let changes = changes(&before, &after);
        if changes.is_empty() {
            return;
        }
        let names: Vec<&str> = changes.keys().map(String::as_str).collect();
        let text = names.join(", ");
        let change = ConfigChange {
            source: file.display().to_string(),
            at: self.context.now(),
            changes,
        };
        self.update("config", UiChange::Text { text });
        let theme = self.ui.theme();
        if theme != self.theme {
            self.theme = theme;
            let Theme { appearance, colors } = theme;
            self.update("theme", UiChange::Theme { appearance, colors });
        }
        self.unheard = match self.unheard.take() {
            Some(before) => joined(before, change),
            None => Some(change),
        };
    }

    fn faulty(&mut self, error: &UiError) {
        let message = WithCauses(error).to_string();
        if self.fault.as_ref() == Some(&message) {
            return;
        }
        self.context.degraded(message.clone());
        // Nobody waits for who reads it; the state of the pattern says it too.
        let _ = self.errors.try_publish(ErrorDetected {
            source: self.ui.shared.config.name.clone(),
            kind: "config".to_owned(),
            message: message.clone(),
            severity: Severity::Warning,
            at: self.context.now(),
        });
        self.fault = Some(message);
    }

    fn measure(&mut self) {
        let size = self.ui.size();
        if let Some((columns, rows)) = size.filter(|_| size != self.size) {
            self.update("terminal", UiChange::Resized { columns, rows });
        }
        self.size = size;
    }

    fn update(&mut self, component: &str, change: UiChange) {
        self.waiting.retain(|update| update.component != component);
        self.waiting.push(UiUpdate {
            component: component.to_owned(),
            at: self.context.now(),
            change,
        });
    }

    /// Tells what is waiting, as far as there is room.
    fn tell(&mut self) {
        let told = self.context.counter("ui_updates");
        let updates = std::mem::take(&mut self.waiting).into_iter();
        let refused = updates.filter_map(|update| {
            let refused = self.updates.try_publish(update).err();
            if refused.is_none() {
                told.add(1);
            }
            let refused = refused?;
            let is_closed = matches!(refused.reason, coord_bus::Refusal::Closed);
            (!is_closed).then_some(refused.event)
        });
        self.waiting = refused.collect();
    }
}

/// Waits until there is room, if there is anything to tell; whether it was told:
/// a closed bus has nobody who could hear of it. Dropped before, it was not.
async fn hear(changes: &Publisher<ConfigChange>, change: Option<ConfigChange>) -> bool {
    match change {
        Some(change) => changes.publish(change).await.is_ok(),
        None => pending().await,
    }
}

/// Two changes, one after the other, as one; nothing, if the second takes back the first.
fn joined(mut first: ConfigChange, second: ConfigChange) -> Option<ConfigChange> {
    first.at = second.at;
    for (path, value) in second.changes {
        let joined = first.changes.entry(path).or_insert_with(|| ConfigValue {
            before: value.before,
            after: None,
        });
        joined.after = value.after;
    }
    first.changes.retain(|_, value| value.before != value.after);
    (!first.changes.is_empty()).then_some(first)
}
