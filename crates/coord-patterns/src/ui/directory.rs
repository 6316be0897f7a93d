//! Watches the directory of a file, also when another is put in its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::UiError;

/// A directory that is watched, as long as this is there: the file in it may be replaced by another.
pub(super) struct Directory {
    directory: PathBuf,
    changed: Arc<Notify>,
    /// What is watched may not be what has the name now.
    stale: Arc<AtomicBool>,
    watcher: RecommendedWatcher,
}

impl Directory {
    /// Watches that of this file, and tells of changes.
    pub(super) fn of(file: &Path, changed: &Arc<Notify>) -> Result<Self, UiError> {
        let directory = match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let stale = Arc::default();
        let watcher = watch(&directory, changed, &stale)?;
        Ok(Self {
            directory,
            changed: Arc::clone(changed),
            stale,
            watcher,
        })
    }

    /// Whether another may have its name since it is watched.
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Watches what has the name now, if it may be another. Where there is nothing, that stays to be done.
    pub(super) fn renew(&mut self) -> Result<(), UiError> {
        if !self.stale.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let watcher = watch(&self.directory, &self.changed, &self.stale);
        self.watcher = watcher.inspect_err(|_| self.stale.store(true, Ordering::Release))?;
        Ok(())
    }
}

/// The watch is on what is there, not on its name. So what has the name is watched too: the entry of the
/// directory in the one above it, and that of each link on the way to it.
fn watch(
    directory: &Path,
    changed: &Arc<Notify>,
    stale: &Arc<AtomicBool>,
) -> Result<RecommendedWatcher, UiError> {
    let unwatched = |source| UiError::Unwatched {
        directory: directory.to_owned(),
        source,
    };
    let whole = std::path::absolute(directory).map_err(notify::Error::io);
    let whole = whole.map_err(unwatched)?;
    let names = whole.ancestors().enumerate();
    let names = names.filter(|(place, name)| *place == 0 || name.is_symlink());
    let names: Vec<PathBuf> = names.map(|(_, name)| name.to_owned()).collect();
    let above: Vec<PathBuf> = names
        .iter()
        .filter_map(|name| name.parent().map(Path::to_owned))
        .collect();
    let (changed, stale, around) = (Arc::clone(changed), Arc::clone(stale), above.clone());
    let told = move |event: notify::Result<Event>| {
        let Ok(event) = event else {
            return changed.notify_one();
        };
        // That somebody reads the file, such as we, is no change.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let is_beside = |path: &PathBuf| {
            path.parent()
                .is_some_and(|up| around.iter().any(|one| one == up))
        };
        if event.need_rescan() || event.paths.iter().any(|path| names.contains(path)) {
            stale.store(true, Ordering::Release);
        } else if event.paths.iter().all(is_beside) {
            return;
        }
        changed.notify_one();
    };
    let mut watcher = notify::recommended_watcher(told).map_err(unwatched)?;
    for directory in above {
        // Where one above may not be read, only what is in its own is noticed.
        let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
    }
    let watched = watcher.watch(&whole, RecursiveMode::NonRecursive);
    watched.map_err(unwatched)?;
    Ok(watcher)
}
