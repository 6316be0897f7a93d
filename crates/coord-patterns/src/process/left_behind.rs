//! What a program has left behind that was killed together with its watchdog, and how that is ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coord_bus::time;
use rustix::process::{Pid, Signal, kill_process_group};

use super::exit::{all_gone, living};
use super::group::DEATH;
use super::identity::{begun, has_variable};

/// What a program has left behind, or does not see to any more, that noted its process groups in a
/// [`GroupLedger`](super::GroupLedger).
#[derive(Debug)]
pub struct LeftBehind {
    path: PathBuf,
    /// Locked where its program is gone, so that nobody else ends the same meanwhile.
    _file: File,
    noted: Vec<LeftGroup>,
    variable: String,
}

/// A process group that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftGroup {
    /// What its process was called.
    pub(super) process: String,
    pub(super) id: Pid,
    /// When its process began.
    pub(super) began: Option<u64>,
}

/// A process group that had been left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedGroup {
    /// What its process was called: see [`ProcessSpec::name`](super::ProcessSpec::name).
    pub process: String,
    /// Its id, which was that of its process.
    pub group: u32,
    /// How it ended.
    pub end: GroupEnd,
}

/// How a process group ended that had been left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEnd {
    /// On SIGTERM, in its grace.
    Stopped,
    /// On SIGKILL, after that.
    Killed,
    /// It has not: it may not be signalled, or the system cannot end it.
    Lives,
}

impl LeftBehind {
    pub(super) fn new(path: &Path, file: File, noted: Vec<LeftGroup>, variable: &str) -> Self {
        Self {
            path: path.to_owned(),
            _file: file,
            noted,
            variable: variable.to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.noted.len()
    }

    /// The groups that live on: what their processes are called, and their ids.
    pub fn living(&self) -> Vec<(String, u32)> {
        let living = self.noted.iter().filter(|group| self.lives(group));
        let living = living.map(|group| (group.process.clone(), group.number()));
        living.collect()
    }

    /// Ends the groups that live on, all at once: with SIGTERM, and SIGKILL for those that live when
    /// their grace is over. How each ended. The file is gone then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the groups have been sent SIGTERM, and the file is still there: whoever
    /// comes next ends what is left.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its I/O and its time enabled.
    pub async fn end(self, grace: Duration) -> Vec<EndedGroup> {
        let mut left: Vec<_> = self
            .noted
            .iter()
            .filter(|group| self.lives(group))
            .collect();
        let mut ended = Vec::new();
        let mut end_as = |left: &mut Vec<&LeftGroup>, end| {
            left.retain(|group| {
                let lives = end != GroupEnd::Lives && self.lives(group);
                if !lives {
                    ended.push(EndedGroup {
                        process: group.process.clone(),
                        group: group.number(),
                        end,
                    });
                }
                lives
            });
        };
        for group in &left {
            group.signal(Signal::TERM);
            // One that was suspended would sleep through it.
            group.signal(Signal::CONT);
        }
        gone_within(grace, &left).await;
        end_as(&mut left, GroupEnd::Stopped);
        left.iter().for_each(|group| group.signal(Signal::KILL));
        gone_within(DEATH, &left).await;
        end_as(&mut left, GroupEnd::Killed);
        end_as(&mut left, GroupEnd::Lives);
        // If it stays, whoever finds it takes it away.
        let _ = fs::remove_file(&self.path);
        ended
    }

    /// Whether a group is what was noted, and something of it lives. As long as it has a member, its id
    /// is nobody else's.
    fn lives(&self, group: &LeftGroup) -> bool {
        match begun(group.id) {
            Some(began) => group.began == Some(began) && !living(group.id).is_empty(),
            // Its leader is gone, and the id may have been another's since.
            None => {
                let mut members = living(group.id).into_iter();
                members.any(|member| has_variable(member, &self.variable))
            }
        }
    }
}

impl LeftGroup {
    fn number(&self) -> u32 {
        self.id.as_raw_pid().cast_unsigned()
    }

    /// It was looked at a moment ago. What may not be signalled is found to live.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }
}

/// Waits until nothing of these lives, for so long.
async fn gone_within(limit: Duration, groups: &[&LeftGroup]) {
    let all = async {
        for group in groups {
            all_gone(group.id).await;
        }
    };
    let _ = time::timeout(limit, all).await;
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::process::GroupLedger;
    use crate::process::birth::{self, Mark};

    const VARIABLE: (&str, &str) = ("RUN", "42");

    /// A group of its own, which has said that it has begun.
    fn start(script: &str, variables: &[(&str, &str)]) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        child
    }

    /// What the next program finds, once one that had noted these has been killed.
    fn left(path: &Path, noted: &[(&str, &Child)]) -> LeftBehind {
        let ledger = GroupLedger::create(path).unwrap();
        for (process, child) in noted {
            let place = ledger.begin(None, process);
            ledger.enter(place, Pid::from_child(child), process);
        }
        drop(ledger);
        assert!(path.exists(), "its groups live");
        GroupLedger::left_behind(path, "RUN=42").unwrap().unwrap()
    }

    #[tokio::test]
    async fn groups_that_live_on_are_ended_with_grace_and_then_killed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let mut heeds = start("echo; exec sleep 1000", &[]);
        let mut deaf = start("trap '' TERM; echo; sleep 1000; sleep 1000", &[]);
        let mut over = start("echo", &[]);
        over.wait().unwrap();
        let noted = [("heeds", &heeds), ("deaf", &deaf), ("over", &over)];
        let left = left(&path, &noted);
        let living = [("heeds", heeds.id()), ("deaf", deaf.id())];
        assert_eq!(
            left.living(),
            living.map(|(name, id)| (name.to_owned(), id))
        );
        let ended = left.end(Duration::from_millis(300)).await;
        let ended: Vec<_> = ended
            .iter()
            .map(|group| (&*group.process, group.end))
            .collect();
        let expected = [("heeds", GroupEnd::Stopped), ("deaf", GroupEnd::Killed)];
        assert_eq!(ended, expected);
        assert!(!path.exists());
        for child in [&mut heeds, &mut deaf] {
            assert!(child.try_wait().unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn what_was_only_being_started_is_found_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let ledger = GroupLedger::create(&path).unwrap();
        let [is_there, is_not] = [(); 2].map(|()| Mark::new().unwrap());
        ledger.begin(Some(&is_there), "server");
        ledger.begin(Some(&is_not), "other");
        let mark = is_there.to_string();
        let mut server = start("echo; exec sleep 1000", &[(birth::VARIABLE, &mark)]);
        let mut stranger = start("echo; exec sleep 1000", &[(birth::VARIABLE, "1.2.3")]);
        drop(ledger);
        let left = GroupLedger::left_behind(&path, "RUN=42").unwrap().unwrap();
        assert_eq!(left.living(), [("server".to_owned(), server.id())]);
        let ended = left.end(Duration::from_secs(5)).await;
        assert_eq!((ended.len(), ended[0].end), (1, GroupEnd::Stopped));
        assert!(server.try_wait().unwrap().is_some() && stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[tokio::test]
    async fn what_has_the_id_of_a_group_and_is_another_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let mut stranger = start("echo; exec sleep 1000", &[VARIABLE]);
        let mut left = left(&path, &[("other", &stranger)]);
        // As if the id had been another's when it was noted.
        left.noted[0].began = Some(1);
        assert!(left.living().is_empty());
        assert!(left.end(Duration::ZERO).await.is_empty());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[tokio::test]
    async fn once_its_leader_is_gone_a_group_is_known_by_the_variable_of_a_member() {
        let folder = tempfile::tempdir().unwrap();
        // Said by the member: a process has no variables for a moment while it becomes another program.
        let script = "sh -c 'echo; sleep 1000; :' &";
        for (variables, lives) in [(&[VARIABLE][..], true), (&[("RUN", "421")], false)] {
            let path = folder.path().join("groups");
            let mut leader = start(script, variables);
            // Noted while it lived, and then reaped by somebody else.
            let left = left(&path, &[("server", &leader)]);
            leader.wait().unwrap();
            assert_eq!(!left.living().is_empty(), lives);
            let ended = left.end(Duration::from_secs(5)).await;
            assert_eq!(!ended.is_empty(), lives);
            let group = Pid::from_child(&leader);
            assert_eq!(living(group).is_empty(), lives);
            // Of one that has ended the id may be another's by now.
            if !lives {
                kill_process_group(group, Signal::KILL).unwrap();
            }
        }
    }
}
