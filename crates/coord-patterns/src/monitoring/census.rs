//! Who lives, who began whom, and what they take.

use std::collections::{HashMap, HashSet};

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// How many processes of one that is watched are remembered by themselves.
const MAX_REMEMBERED: usize = 1024;

/// A process, told from a later one of its id by the second in which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) pid: u32,
    pub(super) began: u64,
}

/// What a process and its own do and take.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// Of the process itself; nothing if it has ended.
    pub(super) root: Option<Life>,
    pub(super) processes: usize,
    pub(super) suspended: usize,
    pub(super) zombies: usize,
    pub(super) cpu_percent: f32,
    pub(super) memory_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Suspended,
    /// Ended, and its parent has not taken note.
    Zombie,
}

/// Reads what processes take. Processor time is since it was read last.
#[derive(Debug, Default)]
pub(super) struct Meter(System);

/// All processes that there are.
pub(super) struct Census {
    system: System,
    children: HashMap<Pid, Vec<Pid>>,
    groups: HashMap<Pid, Vec<Pid>>,
}

impl Census {
    pub(super) fn take() -> Self {
        // Made anew each time, because it keeps a file open for each process that it knows.
        let mut system = System::new();
        let what = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, false, what);
        let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
        let mut groups: HashMap<Pid, Vec<Pid>> = HashMap::new();
        for process in system.processes().values() {
            if let Some(parent) = process.parent() {
                children.entry(parent).or_default().push(process.pid());
            }
            if let Some(group) = group_of(process.pid()) {
                groups.entry(group).or_default().push(process.pid());
            }
        }
        Self {
            system,
            children,
            groups,
        }
    }

    /// A process by its id, if it has not ended.
    pub(super) fn living(&self, pid: u32) -> Option<Identity> {
        let process = self.system.process(Pid::from_u32(pid))?;
        let identity = Identity {
            pid,
            began: process.start_time(),
        };
        (life(process) != Life::Zombie).then_some(identity)
    }

    /// A process and its own, of which `remembered` were seen before and now are those.
    pub(super) fn tree(&self, root: Identity, remembered: &mut HashSet<Identity>) -> Vec<Pid> {
        let pid = Pid::from_u32(root.pid);
        let is_stranger = self.identity(pid).is_some_and(|there| there != root);
        let mut tree: Vec<Pid> = Vec::new();
        if !is_stranger {
            // A group keeps its id from being used again for as long as one of it is there.
            let group = self.groups.get(&pid).into_iter().flatten();
            tree.extend(self.system.process(pid).map(Process::pid));
            tree.extend(group);
        }
        let seen = remembered
            .iter()
            .map(|seen| (Pid::from_u32(seen.pid), seen));
        tree.extend(
            seen.filter(|(pid, seen)| self.identity(*pid) == Some(**seen))
                .map(|(pid, _)| pid),
        );
        let mut known: HashSet<Pid> = HashSet::new();
        tree.retain(|pid| known.insert(*pid));
        let mut next = 0;
        while let Some(parent) = tree.get(next) {
            let children = self.children.get(parent).into_iter().flatten();
            let new: Vec<Pid> = children
                .filter(|pid| known.insert(**pid))
                .copied()
                .collect();
            tree.extend(new);
            next += 1;
        }
        let identities = tree.iter().filter_map(|pid| self.identity(*pid));
        *remembered = identities.take(MAX_REMEMBERED).collect();
        tree
    }

    /// What the members of a tree do, without what they take.
    pub(super) fn read(&self, root: Identity, tree: &[Pid]) -> Reading {
        let mut reading = Reading::default();
        for process in tree.iter().filter_map(|pid| self.system.process(*pid)) {
            let life = life(process);
            match life {
                Life::Zombie => reading.zombies += 1,
                Life::Suspended => reading.suspended += 1,
                Life::Running => {}
            }
            reading.processes += usize::from(life != Life::Zombie);
            if self.identity(process.pid()) == Some(root) {
                reading.root = Some(life);
            }
        }
        reading
    }

    fn identity(&self, pid: Pid) -> Option<Identity> {
        let process = self.system.process(pid)?;
        Some(Identity {
            pid: pid.as_u32(),
            began: process.start_time(),
        })
    }
}

impl Meter {
    /// Reads what these take, and forgets all others.
    pub(super) fn read(&mut self, pids: &[Pid]) {
        if pids.is_empty() {
            self.0 = System::new();
            return;
        }
        // Those that it knows are refreshed too, so that it forgets them once they have ended.
        let mut all: Vec<Pid> = self.0.processes().keys().copied().collect();
        all.extend(pids);
        all.sort_unstable();
        all.dedup();
        let what = ProcessRefreshKind::nothing()
            .without_tasks()
            .with_memory()
            .with_cpu();
        self.0
            .refresh_processes_specifics(ProcessesToUpdate::Some(&all), true, what);
    }

    /// Adds what the members of a tree take.
    pub(super) fn add(&self, tree: &[Pid], reading: &mut Reading) {
        for process in tree.iter().filter_map(|pid| self.0.process(*pid)) {
            reading.cpu_percent += process.cpu_usage();
            reading.memory_bytes += process.memory();
        }
    }
}

/// The group of a process. `getpgid` would tell more simply, and rustix does not expect the 0 that
/// it gives for processes of other namespaces.
#[cfg(target_os = "linux")]
fn group_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may have anything in it: the state, the parent, the group.
    let (_, rest) = stat.rsplit_once(") ")?;
    let group: u32 = rest.split(' ').nth(2)?.parse().ok()?;
    (group > 0).then(|| Pid::from_u32(group))
}

#[cfg(not(target_os = "linux"))]
fn group_of(_: Pid) -> Option<Pid> {
    None
}

fn life(process: &Process) -> Life {
    match process.status() {
        ProcessStatus::Zombie | ProcessStatus::Dead => Life::Zombie,
        ProcessStatus::Stop => Life::Suspended,
        _ => Life::Running,
    }
}
