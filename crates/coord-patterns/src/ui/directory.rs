//! Watches the directory of a file, also when another is put in its place, and where the file is that it is a link to.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::UiError;

/// A directory that is watched, as long as this is there: the file in it may be replaced by another.
pub(super) struct Directory {
    file: PathBuf,
    changed: Arc<Notify>,
    /// What is watched may not be what has the name now.
    stale: Arc<AtomicBool>,
    watched: Watched,
}

/// As long as this is there.
struct Watched {
    _watcher: RecommendedWatcher,
    /// What had these names just before it was watched.
    places: Vec<(PathBuf, Place)>,
}

/// Which directory it is, whatever its name, if it is there: the device and the number on it.
type Place = Option<(u64, u64)>;

impl Directory {
    /// Watches that of this file, and tells of changes.
    pub(super) fn of(file: &Path, changed: &Arc<Notify>) -> Result<Self, UiError> {
        let stale = Arc::default();
        let watched = watch(file, changed, &stale)?;
        Ok(Self {
            file: file.to_owned(),
            changed: Arc::clone(changed),
            stale,
            watched,
        })
    }

    /// Whether another may have its name since it is watched. That one further above was moved is told by no
    /// event, so it is looked at.
    pub(super) fn is_stale(&self) -> bool {
        let is_another = |(path, place): &(PathBuf, Place)| place_of(path) != *place;
        if self.watched.places.iter().any(is_another) {
            self.stale.store(true, Ordering::Release);
        }
        self.stale.load(Ordering::Acquire)
    }

    /// Watches what has the name now, if it may be another. Where there is nothing, that stays to be done.
    pub(super) fn renew(&mut self) -> Result<(), UiError> {
        if !self.stale.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let watched = watch(&self.file, &self.changed, &self.stale);
        self.watched = watched.inspect_err(|_| self.stale.store(true, Ordering::Release))?;
        Ok(())
    }
}

/// How many links are followed from one to the next: as many as Linux does.
const LINKS_MAX: usize = 40;

/// The watch is on what is there, not on its name. So what has the name is watched too: the entry of the
/// directory in the one above it, and that of each link on the way to it. Where the file is a link itself, so is
/// the directory of what it leads to.
fn watch(file: &Path, changed: &Arc<Notify>, stale: &Arc<AtomicBool>) -> Result<Watched, UiError> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = parent(&file);
    let unwatched = |source| UiError::Unwatched {
        directory: directory.clone(),
        source,
    };
    let led_to = led_to(&file);
    let names = led_to.iter().chain([&file]).flat_map(|file| {
        let directory = file.parent().into_iter();
        let names = directory.flat_map(Path::ancestors).enumerate();
        names.filter(|(place, name)| *place == 0 || name.is_symlink())
    });
    let names: Vec<PathBuf> = names.map(|(_, name)| name.to_owned()).collect();
    let above: Vec<PathBuf> = names.iter().map(|name| parent(name)).collect();
    // By their names alone, as what leads there may do so in several ways.
    let file_name = |path: &PathBuf| path.file_name().map(OsString::from);
    let links = [&file].into_iter().chain(&led_to).filter_map(file_name);
    let links: Vec<OsString> = match led_to.is_empty() {
        true => Vec::new(),
        false => links.chain(names.iter().filter_map(file_name)).collect(),
    };
    let elsewhere = led_to.iter().map(|file| parent(file));
    let elsewhere: Vec<PathBuf> = elsewhere.filter(|other| *other != directory).collect();
    let around: Vec<PathBuf> = above.iter().chain(&elsewhere).cloned().collect();
    let (changed, stale) = (Arc::clone(changed), Arc::clone(stale));
    let told = move |event: notify::Result<Event>| {
        let Ok(event) = event else {
            return changed.notify_one();
        };
        // That somebody reads the file, such as we, is no change.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let is_link = |path: &PathBuf| file_name(path).is_some_and(|name| links.contains(&name));
        let is_name = |path: &PathBuf| names.contains(path) || is_link(path);
        let is_beside = |path: &PathBuf| around.contains(&parent(path));
        if event.need_rescan() || event.paths.iter().any(is_name) {
            stale.store(true, Ordering::Release);
        } else if event.paths.iter().all(is_beside) {
            return;
        }
        changed.notify_one();
    };
    let mut watcher = notify::recommended_watcher(told).map_err(unwatched)?;
    let others = || above.iter().chain(&elsewhere);
    let place = |path: &PathBuf| (path.clone(), place_of(path));
    let places = others().chain([&directory]).map(place).collect();
    for directory in others() {
        // Where one above may not be read, only what is in its own is noticed.
        let _ = watcher.watch(directory, RecursiveMode::NonRecursive);
    }
    let watched = watcher.watch(&directory, RecursiveMode::NonRecursive);
    watched.map_err(unwatched)?;
    Ok(Watched {
        _watcher: watcher,
        places,
    })
}

fn place_of(path: &Path) -> Place {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// What a file leads to that is a link, and what that does if it is one, too.
fn led_to(file: &Path) -> Vec<PathBuf> {
    let next = |file: &PathBuf| {
        let to = std::fs::read_link(file).ok()?;
        Some(parent(file).join(to))
    };
    let first = next(&file.to_owned());
    std::iter::successors(first, next).take(LINKS_MAX).collect()
}
