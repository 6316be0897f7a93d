//! Processes that are being started while the program may be suspended.
//!
//! Before it is a group of its own and runs its program, a process that is started is in the group of who starts
//! it. So it is stopped by the Ctrl-Z that is meant for that, and who starts it waits, in the kernel and deaf to
//! signals, until it has begun: which it never does, as whoever continues the one does not know of the other.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::birth::to_begin;
use super::identity::command_line_of;

/// How often what is being started is continued until it has begun: it may hear that it is to stop later than
/// its parent does.
const PAUSE: Duration = Duration::from_millis(2);

/// Those of the whole program, as signals are.
static STARTS: Starts = Starts {
    state: Mutex::new(State {
        next: 0,
        under_way: BTreeSet::new(),
        holders: 0,
    }),
    changed: Condvar::new(),
};

struct Starts {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The number of the next start.
    next: u64,
    under_way: BTreeSet<u64>,
    /// How many want that none begins.
    holders: usize,
}

impl Starts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), condition);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a process is being started, for as long as this is there. Waits while that is [held](HeldStarts).
pub(super) fn begin() -> UnderWay {
    let mut state = STARTS.wait_while(|state| state.holders > 0);
    let number = state.next;
    state.next += 1;
    state.under_way.insert(number);
    UnderWay(number)
}

/// A process that is being started.
pub(super) struct UnderWay(u64);

impl Drop for UnderWay {
    fn drop(&mut self) {
        STARTS.lock().under_way.remove(&self.0);
        STARTS.changed.notify_all();
    }
}

/// For as long as this is there, this program starts no process: who would waits, with its thread.
///
/// A program that stops itself holds this meanwhile. Otherwise it may be stopped while it starts a process, which
/// is stopped with it, and is not stopped altogether then, as its shell sees it, before that has begun.
#[derive(Debug)]
#[must_use = "when it is dropped, processes start again"]
pub struct HeldStarts(());

impl HeldStarts {
    /// Holds them, once those that are under way have begun. Blocks its thread until then: something else is
    /// to see to it that [they do](Self::continue_under_way).
    pub fn hold() -> Self {
        STARTS.lock().holders += 1;
        drop(STARTS.wait_while(|state| !state.under_way.is_empty()));
        Self(())
    }

    /// Continues, with SIGCONT, the processes that are being started now, until they have begun. Blocks its
    /// thread until then.
    ///
    /// To be called, on a thread that starts no processes, whenever this program hears SIGTSTP or SIGCONT: what
    /// it was just starting was stopped with it, and waits for this. Only on Linux: elsewhere nobody waits.
    pub fn continue_under_way() {
        let mut state = STARTS.lock();
        let next = state.next;
        while state.under_way.first().is_some_and(|start| *start < next) {
            continue_those_to_begin();
            let waited = STARTS.changed.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for HeldStarts {
    fn drop(&mut self) {
        STARTS.lock().holders -= 1;
        STARTS.changed.notify_all();
    }
}

/// Continues the children that have not yet begun their programs.
fn continue_those_to_begin() {
    let this = std::process::id();
    let Some(line) = command_line_of(this) else {
        return;
    };
    for (process, _) in to_begin(&line, |stat| stat.parent == this) {
        if let Some(pid) = Pid::from_raw(process.cast_signed()) {
            // One that has ended meanwhile is reaped by who waits for it, so the id is still its own.
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn while_starts_are_held_none_begins_and_those_under_way_come_first() {
        let first = begin();
        let (say, said) = mpsc::channel();
        let held = say.clone();
        let holder = thread::spawn(move || {
            let starts = HeldStarts::hold();
            held.send("held").unwrap();
            starts
        });
        while STARTS.lock().holders == 0 {
            thread::yield_now();
        }
        let starter = thread::spawn(move || {
            let second = begin();
            say.send("begun").unwrap();
            drop(second);
        });
        assert!(said.try_recv().is_err());
        drop(first);
        assert_eq!(said.recv().unwrap(), "held");
        let starts = holder.join().unwrap();
        assert!(said.try_recv().is_err());
        drop(starts);
        assert_eq!(said.recv().unwrap(), "begun");
        starter.join().unwrap();
        // Nothing is under way, so there is nothing to be waited for.
        HeldStarts::continue_under_way();
    }
}
