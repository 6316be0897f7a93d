//! A file that says which process groups live, for who comes after a program that was killed together
//! with its watchdog.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coord_bus::text::cut;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

use super::birth::{Mark, groups_of};
use super::identity::{begun, world};
use super::left_behind::{LeftBehind, LeftGroup};

/// How long a note is, with what fills it up.
const SLOT: usize = 128;
/// How many notes have their room on the disk from the beginning: as many as a page has.
const ROOM: usize = 32;
/// How much of a process's name is noted.
const NAME_MAX: usize = 80;
/// What the note of a process begins with that is being started.
const STARTS: &str = "? ";
/// What the first slot begins with.
const HEADER: &str = "process-groups-1";

/// A file that says which process groups live, so that what a program leaves behind can be ended by
/// who comes after it.
///
/// A [`Watchdog`](super::Watchdog) ends what is left when its program is killed. Where both are killed,
/// nobody does; and what runs on would disturb whoever does the same again. So each group is noted here
/// before it begins, by a variable that its process is to have (`COORD_PROCESS`); when it has begun, with when its
/// process did and since when the system is up; and struck out when it has
/// ended: a write of 128 bytes each, without a sync, since what the system loses it has ended, too. The
/// file has as many notes as groups have lived at once. Dropped or [closed](Self::close) with no group
/// alive, it is removed.
///
/// Only Linux tells what makes a process out; elsewhere there are no such files.
///
/// ```no_run
/// # use std::{path::Path, sync::Arc, time::Duration};
/// # use coord_patterns::process::{GroupLedger, ProcessRunner};
/// # async fn start(runner: &ProcessRunner, path: &Path) -> std::io::Result<()> {
/// if let Some(left) = GroupLedger::left_behind(path, "RUN=42")? {
///     left.end(Duration::from_secs(10)).await;
/// }
/// runner.note_in(Arc::new(GroupLedger::create(path)?));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct GroupLedger {
    path: PathBuf,
    /// Locked for as long as its program lives.
    file: File,
    slots: Mutex<Slots>,
}

/// Which slots are taken.
#[derive(Debug)]
struct Slots {
    free: Vec<u64>,
    next: u64,
}

impl Slots {
    fn is_any_taken(&self) -> bool {
        self.free.len() as u64 + 1 < self.next
    }
}

impl GroupLedger {
    /// Begins one, for its owner only; what was in a file of this name is gone.
    ///
    /// # Errors
    ///
    /// Where it cannot be written; [`WouldBlock`](io::ErrorKind::WouldBlock), where a program that lives
    /// has it; [`Unsupported`](io::ErrorKind::Unsupported), where the system does not tell when processes
    /// began.
    pub fn create(path: &Path) -> io::Result<Self> {
        let world = world().ok_or(io::ErrorKind::Unsupported)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        let empty = slot("").repeat(ROOM);
        file.write_all_at(&empty, 0)?;
        file.write_all_at(&slot(&format!("{HEADER} {world}")), 0)?;
        let slots = Slots {
            free: Vec::new(),
            next: 1,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            slots: Mutex::new(slots),
        })
    }

    /// What a program has left behind that had this file. `None`: there is no such file.
    ///
    /// A group is what was noted as long as its leader is the process that it was; and once that is
    /// gone, as long as a member was started with this variable, as `NAME=value`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read; [`WouldBlock`](io::ErrorKind::WouldBlock), where the program lives, or
    /// somebody else ends what it has left.
    pub fn left_behind(path: &Path, variable: &str) -> io::Result<Option<LeftBehind>> {
        let Some(file) = opened(path)? else {
            return Ok(None);
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Self::read(path, file, variable).map(Some)
    }

    /// The same of a program that lives and has lost what it ran these for, as one that was suspended for too long.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn held(path: &Path, variable: &str) -> io::Result<Option<LeftBehind>> {
        let file = opened(path)?;
        file.map(|file| Self::read(path, file, variable))
            .transpose()
    }

    fn read(path: &Path, mut file: File, variable: &str) -> io::Result<LeftBehind> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let mut notes = text.lines().map(str::trim_end);
        let header = notes.next().and_then(|header| header.strip_prefix(HEADER));
        // After a start of the system nothing lives of what was.
        let is_known = header.is_some_and(|header| world().as_deref() == Some(header.trim_start()));
        let noted = match is_known {
            true => all_noted(notes),
            false => Vec::new(),
        };
        Ok(LeftBehind::new(path, file, noted, variable))
    }

    /// Removes the file, if no group lives: what begins afterwards is not noted.
    pub fn close(&self) {
        if !self.slots().is_any_taken() {
            // If it stays, whoever finds it takes it away.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// A process is about to be started. Where its note is.
    pub(super) fn begin(&self, mark: Option<&Mark>, process: &str) -> u64 {
        let free = self.slots().free.pop();
        let place = free.unwrap_or_else(|| {
            let mut slots = self.slots();
            slots.next += 1;
            slots.next - 1
        });
        if let Some(mark) = mark {
            self.write(place, &format!("{STARTS}{mark} {}", plain(process)));
        }
        place
    }

    /// It has been, and its group begins to live.
    pub(super) fn enter(&self, place: u64, group: Pid, process: &str) {
        let began = begun(group).map(|began| began.to_string());
        let began = began.unwrap_or_default();
        let (group, process) = (group.as_raw_pid(), plain(process));
        self.write(place, &format!("{group} {began} {process}"));
    }

    /// It was not started, or nothing of the group lives any more, and its leader is about to be reaped.
    pub(super) fn leave(&self, place: u64) {
        self.write(place, "");
        self.slots().free.push(place);
    }

    /// Without room for its note, a process runs all the same.
    fn write(&self, place: u64, note: &str) {
        let _ = self.file.write_all_at(&slot(note), place * SLOT as u64);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GroupLedger {
    fn drop(&mut self) {
        self.close();
    }
}

fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A note as it is written.
fn slot(note: &str) -> Vec<u8> {
    let mut slot = note.as_bytes().to_vec();
    slot.resize(SLOT - 1, b' ');
    slot.push(b'\n');
    slot
}

/// As much of a name as is noted, in one line.
fn plain(name: &str) -> String {
    let plain = name.chars().filter(|character| !character.is_control());
    cut(&plain.collect::<String>(), NAME_MAX).to_owned()
}

/// The groups of these notes, also of processes that were only being started and were started after all.
fn all_noted<'n>(notes: impl Iterator<Item = &'n str>) -> Vec<LeftGroup> {
    let (mut groups, mut starting) = (Vec::new(), HashMap::new());
    for note in notes {
        match note.strip_prefix(STARTS) {
            Some(start) => starting.extend(started(start)),
            None => groups.extend(noted(note)),
        }
    }
    let marks: Vec<Mark> = starting.keys().cloned().collect();
    for (id, mark) in groups_of(&marks) {
        groups.push(LeftGroup {
            process: starting.get(&mark).cloned().unwrap_or_default(),
            id,
            began: begun(id),
        });
    }
    groups
}

/// The mark of a process that was being started, and what it is called.
fn started(note: &str) -> Option<(Mark, String)> {
    let (mark, process) = note.split_once(' ').unwrap_or((note, ""));
    Some((Mark::parse(mark)?, process.to_owned()))
}

/// The group of a note.
fn noted(note: &str) -> Option<LeftGroup> {
    let mut words = note.splitn(3, ' ');
    let id = Pid::from_raw(words.next()?.parse().ok()?)?;
    let began = words.next().unwrap_or_default().parse().ok();
    let process = words.next().unwrap_or_default().to_owned();
    Some(LeftGroup { process, id, began })
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn pid(id: i32) -> Pid {
        Pid::from_raw(id).unwrap()
    }

    #[test]
    fn a_note_is_found_again_whatever_its_process_is_called() {
        for name in [
            "build",
            "undo build",
            "a:7",
            "two\nlines",
            &"ä".repeat(200),
            "",
        ] {
            let note = format!("7 123 {}", plain(name));
            let slot = String::from_utf8(slot(&note)).unwrap();
            assert_eq!((slot.len(), slot.lines().count()), (SLOT, 1), "{name}");
            let group = noted(slot.trim_end()).unwrap();
            assert_eq!((group.id, group.began), (pid(7), Some(123)));
            assert_eq!(group.process.is_empty(), name.is_empty());
        }
        assert!(noted("").is_none() && noted("x 1 y").is_none() && noted("0 1 y").is_none());
    }

    #[test]
    fn its_places_are_used_again_and_it_is_removed_when_nothing_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let ledger = GroupLedger::create(&path).unwrap();
        for round in 0..3 {
            let places: Vec<_> = (0..40)
                .map(|id| {
                    let place = ledger.begin(None, "p");
                    ledger.enter(place, pid(2_000_000_001 + id), "p");
                    place
                })
                .collect();
            assert_eq!(places.iter().max(), Some(&40), "{round}");
            places.into_iter().for_each(|place| ledger.leave(place));
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 41 * SLOT as u64);
        // Its program lives.
        for refused in [
            GroupLedger::left_behind(&path, "A=b").map(drop),
            GroupLedger::create(&path).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        drop(ledger);
        assert!(!path.exists());
    }

    #[test]
    fn notes_of_another_start_of_the_system_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let ledger = GroupLedger::create(&path).unwrap();
        let this = rustix::process::getpid();
        let place = ledger.begin(None, "this");
        ledger.enter(place, this, "this");
        assert!(place > 0);
        let text = fs::read_to_string(&path).unwrap();
        drop(ledger);
        let left = GroupLedger::left_behind(&path, "A=b").unwrap().unwrap();
        // It is no leader of a group of this id, perhaps, but the process that was noted.
        assert_eq!(left.noted(), 1);
        drop(left);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        fs::write(&path, text.replace(boot.trim(), "another")).unwrap();
        let left = GroupLedger::left_behind(&path, "A=b").unwrap().unwrap();
        assert_eq!(left.noted(), 0);
    }
}
