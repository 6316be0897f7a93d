//! What ends a program's processes when the program itself is killed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{ioctl_fionbio, read, retry_on_intr};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::birth::{Mark, Starter, VARIABLE, kill_started};
use super::groups::Alive;
use super::identity::begun;
use super::pipe::CHUNK;
use super::starts;

/// A process beside the program, which kills what runs once the program is gone.
///
/// A program that ends by itself ends its processes first. One that is killed with SIGKILL, or that
/// the system kills for want of memory, cannot: its processes would live on, unseen. The watchdog
/// is told of each process group that a [`ProcessRunner`](super::ProcessRunner) starts and of its
/// end, through a pipe; when the pipe breaks, it sends SIGKILL to those that are left, and exits. What was only being
/// started then it finds by a variable that the process was to have, `COORD_PROCESS` (on Linux).
///
/// It is a process group of its own and does not heed SIGINT, SIGTERM, SIGHUP and SIGQUIT, so what
/// is meant for the program does not end it. For the case that both are killed with SIGKILL, there is a
/// [`GroupLedger`](super::GroupLedger).
///
/// What it is told waits in the pipe, which has room for some thousand processes, while it does not come
/// to read; and it never holds up who starts processes. Where the pipe is full, it is told of all that
/// live as soon as the next begins or ends and there is room again.
///
/// ```no_run
/// # use coord_patterns::process::{ProcessRunner, Watchdog};
/// # async fn start(runner: &ProcessRunner) -> std::io::Result<()> {
/// // `main` begins with: if the only argument is `watchdog`, return `Watchdog::serve()`.
/// let mut command = std::process::Command::new(std::env::current_exe()?);
/// command.arg("watchdog");
/// runner.guard(Watchdog::start(command)?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Watchdog {
    /// Told of groups as lines: `+` or `-` and the id, or `=`, that none lives but those that follow; of processes that
    /// are being started: `?` and the mark, and `~` and the mark once they are not any more; and of
    /// the mark of the program: `!`, that it is there, or `.`, that it is not. Before the child: dropped, it ends that.
    pipe: PipeWriter,
    sent: Mutex<Sent>,
    /// Reaped by tokio.
    child: Arc<tokio::sync::Mutex<Child>>,
}

#[derive(Debug, Default)]
struct Sent {
    /// Whether something was not told, for the pipe was full.
    is_behind: bool,
    /// Whether it is to be marked.
    is_marked: bool,
}

impl Watchdog {
    /// Starts one: `command` is to call [`serve`](Self::serve), and nothing else.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its I/O enabled.
    pub fn start(command: Command) -> io::Result<Self> {
        Self::start_with(command, Stdio::null())
    }

    /// Starts one that keeps this file open until it has killed what was left: a lock, say, for which
    /// others wait before they do the same again.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_holding(command: Command, held: File) -> io::Result<Self> {
        Self::start_with(command, held.into())
    }

    fn start_with(mut command: Command, held: Stdio) -> io::Result<Self> {
        let (orders, pipe) = io::pipe()?;
        // A watchdog that does not read must not hold up who starts processes.
        ioctl_fionbio(&pipe, true)?;
        // Nothing is printed there: it is one of the three that a process is given.
        command.stdin(orders).stdout(held);
        command.stderr(Stdio::null()).process_group(0);
        // It is none of what ran where this program was itself started by one with a watchdog.
        command.env_remove(VARIABLE);
        let under_way = starts::begin();
        let child = tokio::process::Command::from(command).spawn()?;
        drop(under_way);
        Ok(Self {
            pipe,
            sent: Mutex::default(),
            child: Arc::new(tokio::sync::Mutex::new(child)),
        })
    }

    /// What a watchdog does: reads standard input until the program is gone, and then kills what it
    /// has left. Blocks its thread.
    ///
    /// # Errors
    ///
    /// When it cannot keep itself from heeding signals.
    pub fn serve() -> io::Result<()> {
        Self::serve_marked().map(drop)
    }

    /// [`serve`](Self::serve), and says whether the program has left a
    /// [mark](super::ProcessRunner::mark): for who has more to clean up than processes.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    pub fn serve_marked() -> io::Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _entered = runtime.enter();
        // Whoever listens for a signal is not ended by it.
        let _deaf = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::quit())?,
        ];
        let starter = Starter::of_this();
        let left = left(Orders);
        for group in left.groups {
            // One that has gone meanwhile needs nothing more.
            let _ = kill_process_group(group, Signal::KILL);
        }
        kill_started(&left.starts, &starter);
        Ok(left.is_marked)
    }

    /// What ends when it does, by whatever means.
    pub(super) fn child(&self) -> Arc<tokio::sync::Mutex<Child>> {
        Arc::clone(&self.child)
    }

    /// It begins while these live.
    pub(super) fn begin(&self, alive: &Alive, marked: bool) {
        let mut sent = self.sent();
        sent.is_marked = marked;
        sent.is_behind = self.tell_all(alive, marked).is_full();
    }

    /// It is marked, or is not; these live, then.
    pub(super) fn mark(&self, marked: bool, alive: &Alive) {
        self.sent().is_marked = marked;
        self.tell(mark(marked), alive);
    }

    /// A process is about to be started; these live, then.
    pub(super) fn starts(&self, start: &Mark, alive: &Alive) {
        self.tell(&format!("?{start}\n"), alive);
    }

    /// It is not being started any more, as its group begins to live, or as it could not be started; these live, then.
    pub(super) fn started(&self, start: Option<&Mark>, group: Option<Pid>, alive: &Alive) {
        let mut told = group.map(|group| order('+', group)).unwrap_or_default();
        if let Some(start) = start {
            told += &format!("~{start}\n");
        }
        self.tell(&told, alive);
    }

    /// A group has nothing left that lives, and its leader is about to be reaped; these live, then.
    pub(super) fn leave(&self, group: Pid, alive: &Alive) {
        self.tell(&order('-', group), alive);
    }

    /// Without a watchdog that listens, processes run all the same.
    fn tell(&self, order: &str, alive: &Alive) {
        let mut sent = self.sent();
        sent.is_behind = match sent.is_behind {
            false => self.write(order).is_full(),
            true => self.tell_all(alive, sent.is_marked).is_full(),
        };
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of all that live, in pieces that a pipe takes whole or not at all.
    fn tell_all(&self, alive: &Alive, marked: bool) -> Told {
        let mut piece = format!("=\n{}", mark(marked));
        let starts = alive.starts.iter().map(|start| format!("?{start}\n"));
        let groups = alive.groups.iter().map(|group| order('+', *group));
        for order in starts.chain(groups) {
            if piece.len() + order.len() > PIECE_MAX {
                if self.write(&piece).is_full() {
                    return Told::Full;
                }
                piece.clear();
            }
            piece.push_str(&order);
        }
        self.write(&piece)
    }

    /// In one piece, as a pipe takes it that is written in no other way.
    fn write(&self, orders: &str) -> Told {
        match (&self.pipe).write(orders.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Told::Full,
            // Nobody reads any more, and never will.
            Ok(_) | Err(_) => Told::Done,
        }
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    /// The pipe has no room for it.
    Full,
}

impl Told {
    fn is_full(self) -> bool {
        self == Self::Full
    }
}

/// How much a pipe takes at once or not at all, on every system.
const PIECE_MAX: usize = 512;

fn mark(marked: bool) -> &'static str {
    match marked {
        true => "!\n",
        false => ".\n",
    }
}

fn order(sign: char, group: Pid) -> String {
    format!("{sign}{}\n", group.as_raw_pid())
}

/// What a watchdog is told, by whoever writes to its standard input.
struct Orders;

/// For how long orders are let come together: most groups have ended by then, and are none of a
/// watchdog's business, which would otherwise be woken at the beginning and the end of each.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

impl Read for Orders {
    /// Reads what has come, a pause after the first of it; that nobody is left to write, at once.
    fn read(&mut self, orders: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        // That it is over, the system says to everybody.
        let wait =
            |wanted, timeout| retry_on_intr(|| poll(&mut [PollFd::new(&stdin, wanted)], timeout));
        wait(PollFlags::IN, None)?;
        wait(PollFlags::empty(), Some(&PAUSE))?;
        Ok(retry_on_intr(|| read(&stdin, &mut *orders))?)
    }
}

/// What there is when the orders end.
#[derive(Debug, Default)]
struct Left {
    groups: Vec<Pid>,
    /// What was being started.
    starts: Vec<Mark>,
    /// Whether there is a mark of the program.
    is_marked: bool,
}

fn left(mut orders: impl Read) -> Left {
    let (mut living, mut left) = (HashMap::new(), Left::default());
    let (mut text, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    while let Ok(length @ 1..) = orders.read(&mut chunk) {
        text.extend_from_slice(&chunk[..length]);
        // An order that has come in part is completed by the next chunk.
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let whole: Vec<u8> = text.drain(..whole.map_or(0, |end| end + 1)).collect();
        for order in String::from_utf8_lossy(&whole).lines() {
            obey(order, &mut living, &mut left);
        }
        for (group, then) in &mut living {
            then.get_or_insert_with(|| begun(*group));
        }
    }
    // A leader that is gone was reaped by others than its program, and its id may be another's by
    // now. As long as the group has a member, its id is nobody else's.
    let is_same = |(group, then): &(Pid, Option<Option<u64>>)| {
        let now = begun(*group);
        now.is_none() || Some(&now) == then.as_ref()
    };
    let same = living.into_iter().filter(is_same);
    left.groups = same.map(|(group, _)| group).collect();
    left
}

/// Notes that a group lives, without yet knowing since when, or that it does not, or that none does; and what else there
/// is.
fn obey(order: &str, living: &mut HashMap<Pid, Option<Option<u64>>>, left: &mut Left) {
    let Some((sign, of)) = order.split_at_checked(1) else {
        return;
    };
    let group = || of.parse().ok().and_then(Pid::from_raw);
    match sign {
        "!" => left.is_marked = true,
        "." => left.is_marked = false,
        "=" => {
            living.clear();
            left.starts.clear();
        }
        "?" => left.starts.extend(Mark::parse(of)),
        "~" => left
            .starts
            .retain(|start| Mark::parse(of).as_ref() != Some(start)),
        "+" => living.extend(group().map(|group| (group, None))),
        "-" => {
            group().and_then(|group| living.remove(&group));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn what_it_holds_is_open_until_it_has_done() {
        let (mut reader, held) = io::pipe().unwrap();
        let held = File::from(std::os::fd::OwnedFd::from(held));
        // As `serve` does, it reads to the end.
        let mut command = Command::new("sh");
        command.args(["-c", "cat > /dev/null"]);
        let watchdog = Watchdog::start_holding(command, held).unwrap();
        ioctl_fionbio(&reader, true).unwrap();
        let open = reader.read(&mut [0]).unwrap_err();
        assert_eq!(open.kind(), io::ErrorKind::WouldBlock);
        ioctl_fionbio(&reader, false).unwrap();
        drop(watchdog);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_entered_and_did_not_leave_is_left() {
        // No process has such an id.
        let [a, b] = [2_000_000_001, 2_000_000_002].map(|id| Pid::from_raw(id).unwrap());
        let orders = "+2000000001\n+2000000002\n-2000000001\n?\n+x\n";
        assert_eq!(left(orders.as_bytes()).groups, [b]);
        let orders = "+2000000001\n+2000000002\n-2000000002\n+20000";
        assert!(left(orders.as_bytes()).groups.contains(&a));
    }

    #[test]
    fn what_is_being_started_is_left_until_it_is_said_that_it_is_not_any_more() {
        let [a, b] = ["7.1.1", "7.1.2"].map(|mark| Mark::parse(mark).unwrap());
        let orders = format!("?{a}\n?{b}\n+2000000001\n~{a}\n~9\n?\n?x\n");
        assert_eq!(left(orders.as_bytes()).starts, std::slice::from_ref(&b));
        let orders = format!("?{a}\n=\n?{b}\n");
        assert_eq!(left(orders.as_bytes()).starts, [b]);
    }

    #[test]
    fn that_none_lives_is_an_order_too() {
        let b = Pid::from_raw(2_000_000_002).unwrap();
        let orders = "+2000000001\n=\n+2000000002\n";
        assert_eq!(left(orders.as_bytes()).groups, [b]);
    }

    #[test]
    fn the_last_that_was_said_of_the_mark_counts() {
        for (orders, marked) in [
            ("", false),
            ("!\n", true),
            ("!\n=\n.\n+7\n", false),
            (".\n!\n", true),
        ] {
            assert_eq!(left(orders.as_bytes()).is_marked, marked, "{orders:?}");
        }
    }

    // Here, because from outside it would take thousands of processes.
    #[tokio::test]
    async fn what_it_could_not_be_told_while_it_did_not_read_it_is_told_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // Reads nothing before there is a file `go`, and then everything.
        command.args(["-c", "until test -e go; do sleep 0.01; done; cat > read"]);
        command.current_dir(folder.path());
        let watchdog = Watchdog::start(command).unwrap();
        let pid = |id: i32| Pid::from_raw(2_000_000_000 + id).unwrap();
        let mut alive = Alive::default();
        // Far more than there is room for; every tenth stays, also of those that were not told.
        for id in 1..=20_000 {
            let start = Mark::parse(&format!("7.{id}")).unwrap();
            alive.starts.insert(start.clone());
            watchdog.starts(&start, &alive);
            if id % 7 == 0 {
                continue;
            }
            alive.starts.remove(&start);
            alive.groups.insert(pid(id));
            watchdog.started(Some(&start), Some(pid(id)), &alive);
            if id % 10 != 0 {
                alive.groups.remove(&pid(id));
                watchdog.leave(pid(id), &alive);
            }
        }
        assert!(watchdog.sent().is_behind);
        std::fs::write(folder.path().join("go"), "").unwrap();
        for id in 20_001.. {
            alive.groups.insert(pid(id));
            watchdog.started(None, Some(pid(id)), &alive);
            if !watchdog.sent().is_behind {
                break;
            }
            alive.groups.remove(&pid(id));
            watchdog.leave(pid(id), &alive);
            tokio::task::yield_now().await;
        }
        let child = watchdog.child();
        drop(watchdog);
        child.lock().await.wait().await.unwrap();
        let read = std::fs::read(folder.path().join("read")).unwrap();
        let left = left(&*read);
        let groups: HashSet<_> = left.groups.into_iter().collect();
        let starts: HashSet<_> = left.starts.into_iter().collect();
        assert_eq!((groups, starts), (alive.groups, alive.starts));
    }

    #[test]
    fn an_order_that_comes_in_pieces_is_one() {
        let b = Pid::from_raw(2_000_000_002).unwrap();
        let orders = "+2000000001\n+2000000002\n-2000000001\n".as_bytes();
        for cut in 0..orders.len() {
            let (first, second) = orders.split_at(cut);
            assert_eq!(left(first.chain(second)).groups, [b], "{cut}");
        }
    }
}
