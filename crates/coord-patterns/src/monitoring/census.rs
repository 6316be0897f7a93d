//! Who lives, who began whom, and what they take: read from the system, which takes milliseconds
//! where there are many processes, so that only [`survey`] is to be called while others wait.

use std::collections::{HashMap, HashSet};

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

#[cfg(target_os = "linux")]
use crate::proc_stat::ProcStat;

/// How many processes of one that is watched are remembered by themselves.
const MAX_REMEMBERED: usize = 1024;

/// A process, told from a later one of its id by when it began: on Linux in ticks since the machine did,
/// which no step of its clock changes; elsewhere in seconds.
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

/// A process that runs, of which it is asked how it does.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) pid: u32,
    /// Who it is, once a reading has said so.
    pub(super) identity: Option<Identity>,
    /// Those that were seen as its own before.
    pub(super) remembered: HashSet<Identity>,
}

/// How one that was asked for does.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) asked: Asked,
    pub(super) identity: Identity,
    pub(super) remembered: HashSet<Identity>,
    pub(super) reading: Reading,
}

/// Reads from the system how these do. One that is not known, and is not there, has no answer.
pub(super) fn survey(meter: &mut Meter, asked: Vec<Asked>) -> Vec<Answer> {
    let census = Census::take();
    let mut trees = Vec::new();
    for asked in asked {
        let Some(root) = asked.identity.or_else(|| census.living(asked.pid)) else {
            continue;
        };
        let mut remembered = asked.remembered.clone();
        let tree = census.tree(root, &mut remembered);
        let answer = Answer {
            asked,
            identity: root,
            remembered,
            reading: census.read(root, &tree),
        };
        trees.push((answer, tree));
    }
    let pids: Vec<_> = trees.iter().flat_map(|(_, tree)| tree).copied().collect();
    meter.read(&pids);
    let answers = trees.into_iter().map(|(mut answer, tree)| {
        meter.add(&tree, &mut answer.reading);
        answer
    });
    answers.collect()
}

/// Who a process is, if it has not ended.
pub(super) fn living(pid: u32) -> Option<Identity> {
    let mut system = System::new();
    let place = Pid::from_u32(pid);
    refresh(&mut system, ProcessesToUpdate::Some(&[place]));
    let process = system.process(place)?;
    let (_, began) = stat(process)?;
    (life(process) != Life::Zombie).then_some(Identity { pid, began })
}

/// Without what they take.
fn refresh(system: &mut System, which: ProcessesToUpdate<'_>) {
    let what = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(which, false, what);
}

/// All processes that there are.
struct Census {
    system: System,
    children: HashMap<Pid, Vec<Pid>>,
    groups: HashMap<Pid, Vec<Pid>>,
    began: HashMap<Pid, u64>,
}

impl Census {
    fn take() -> Self {
        // Made anew each time, because it keeps a file open for each process that it knows.
        let mut system = System::new();
        refresh(&mut system, ProcessesToUpdate::All);
        let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
        let mut groups: HashMap<Pid, Vec<Pid>> = HashMap::new();
        let mut began = HashMap::new();
        for process in system.processes().values() {
            if let Some(parent) = process.parent() {
                children.entry(parent).or_default().push(process.pid());
            }
            // One that has gone meanwhile has none.
            let Some((group, begun)) = stat(process) else {
                continue;
            };
            began.insert(process.pid(), begun);
            if let Some(group) = group {
                groups.entry(group).or_default().push(process.pid());
            }
        }
        Self {
            system,
            children,
            groups,
            began,
        }
    }

    /// A process by its id, if it has not ended.
    fn living(&self, pid: u32) -> Option<Identity> {
        let pid = Pid::from_u32(pid);
        let process = self.system.process(pid)?;
        self.identity(pid).filter(|_| life(process) != Life::Zombie)
    }

    /// A process and its own, of which `remembered` were seen before and now are those.
    fn tree(&self, root: Identity, remembered: &mut HashSet<Identity>) -> Vec<Pid> {
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
    fn read(&self, root: Identity, tree: &[Pid]) -> Reading {
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
        let began = *self.began.get(&pid)?;
        let pid = pid.as_u32();
        Some(Identity { pid, began })
    }
}

impl Meter {
    /// Forgets all, and closes the files that it keeps open for them.
    pub(super) fn forget(&mut self) {
        self.0 = System::new();
    }

    /// Reads what these take, and forgets all others.
    fn read(&mut self, pids: &[Pid]) {
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
    fn add(&self, tree: &[Pid], reading: &mut Reading) {
        for process in tree.iter().filter_map(|pid| self.0.process(*pid)) {
            reading.cpu_percent += process.cpu_usage();
            reading.memory_bytes += process.memory();
        }
    }
}

/// The group of a process and when it began, if it is there still. `getpgid` would tell of the group more
/// simply, and rustix does not expect the 0 that it gives for processes of other namespaces. And what `sysinfo`
/// says of the beginning is added to when the machine began, which is another time once its clock was set.
#[cfg(target_os = "linux")]
fn stat(process: &Process) -> Option<(Option<Pid>, u64)> {
    let stat = ProcStat::of(process.pid().as_u32())?;
    let group = (stat.group > 0).then(|| Pid::from_u32(stat.group));
    Some((group, stat.began))
}

#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "where it is read, it may not be there"
)]
fn stat(process: &Process) -> Option<(Option<Pid>, u64)> {
    Some((None, process.start_time()))
}

fn life(process: &Process) -> Life {
    match process.status() {
        ProcessStatus::Zombie | ProcessStatus::Dead => Life::Zombie,
        ProcessStatus::Stop => Life::Suspended,
        _ => Life::Running,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn two_that_began_in_the_same_second_are_told_from_each_other() {
        let began = || {
            let child = Command::new("sleep").arg("1000").spawn();
            let mut child = child.unwrap();
            let identity = living(child.id()).unwrap();
            assert_eq!(Census::take().living(child.id()), Some(identity));
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(living(child.id()), None);
            identity.began
        };
        for _ in 0..5 {
            let first = began();
            // A few ticks of the clock, of which there are a hundred a second.
            let pause = Command::new("sleep").arg("0.03").status();
            assert!(pause.unwrap().success());
            assert_ne!(began(), first);
        }
    }
}
