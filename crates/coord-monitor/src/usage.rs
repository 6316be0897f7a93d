//! The memory and processor time of this program and of trees of processes.

use std::collections::HashMap;
use std::process;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use crate::{ProcessMetrics, ProcessUsage};

/// Reads what processes use. Processor time is since it was read last.
#[derive(Debug)]
pub(crate) struct Usage {
    own: System,
    /// Those of trees, while there is one.
    trees: Option<System>,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self {
            own: System::new(),
            trees: None,
        }
    }

    /// What this program uses; nothing where the system does not say.
    pub(crate) fn own(&mut self) -> ProcessUsage {
        let pid = Pid::from_u32(process::id());
        refresh(&mut self.own, &[pid]);
        self.own.process(pid).map(used).unwrap_or_default()
    }

    /// What the trees of processes use that grow from these, by name and process id. A process
    /// that has ended is left out.
    pub(crate) fn trees(&mut self, roots: &[(String, u32)]) -> Vec<ProcessMetrics> {
        if roots.is_empty() {
            self.trees = None;
            return Vec::new();
        }
        let census = Census::take();
        let trees: Vec<_> = roots
            .iter()
            .map(|(name, pid)| (name, *pid, census.tree(Pid::from_u32(*pid))))
            .filter(|(_, _, tree)| !tree.is_empty())
            .collect();
        let system = self.trees.get_or_insert_with(System::new);
        // Those that it knows are refreshed too, so that it forgets them once they have ended.
        let mut pids: Vec<Pid> = system.processes().keys().copied().collect();
        pids.extend(trees.iter().flat_map(|(_, _, tree)| tree));
        pids.sort_unstable();
        pids.dedup();
        refresh(system, &pids);
        let metrics = trees.into_iter().map(|(name, pid, tree)| {
            let members = tree.iter().filter_map(|pid| system.process(*pid));
            let mut metrics = ProcessMetrics {
                process: name.clone(),
                pid,
                memory_bytes: 0,
                cpu_percent: 0.0,
                processes: 0,
            };
            for ProcessUsage {
                memory_bytes,
                cpu_percent,
            } in members.map(used)
            {
                metrics.memory_bytes += memory_bytes;
                metrics.cpu_percent += cpu_percent;
                metrics.processes += 1;
            }
            metrics
        });
        metrics.collect()
    }
}

fn refresh(system: &mut System, pids: &[Pid]) {
    let what = ProcessRefreshKind::nothing()
        .without_tasks()
        .with_memory()
        .with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), true, what);
}

fn used(process: &Process) -> ProcessUsage {
    ProcessUsage {
        memory_bytes: process.memory(),
        cpu_percent: process.cpu_usage(),
    }
}

/// Who has started whom, of all processes that live now.
struct Census {
    children: HashMap<Pid, Vec<Pid>>,
    system: System,
}

impl Census {
    fn take() -> Self {
        // Made anew each time, because it keeps a file open for each process that it knows.
        let mut system = System::new();
        let what = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, false, what);
        let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
        for process in system.processes().values().filter(|one| lives(one)) {
            if let Some(parent) = process.parent() {
                children.entry(parent).or_default().push(process.pid());
            }
        }
        Self { children, system }
    }

    /// A process and its descendants; none of them if the process itself has ended.
    fn tree(&self, root: Pid) -> Vec<Pid> {
        if !self.system.process(root).is_some_and(lives) {
            return Vec::new();
        }
        let mut tree = vec![root];
        let mut next = 0;
        while let Some(parent) = tree.get(next) {
            if let Some(children) = self.children.get(parent) {
                tree.extend(children);
            }
            next += 1;
        }
        tree
    }
}

/// Whether a process is more than a name that waits for its parent to take note.
fn lives(process: &Process) -> bool {
    !matches!(
        process.status(),
        ProcessStatus::Zombie | ProcessStatus::Dead
    )
}
