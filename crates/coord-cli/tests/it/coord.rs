//! Runs `coord` on a workflow file in a folder of its own.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coordination::bus::time::Instant;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Far longer than anything here takes: only a test that fails waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what nobody tells of.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    until_some(|| condition().then_some(()));
}

/// The same, for what there is to be seen then.
#[track_caller]
pub(crate) fn until_some<T>(mut seen: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "it has not come to that");
        std::thread::yield_now();
    }
}

/// Idempotency keys in a text, without what tells their runs from others of the same ids.
pub(crate) fn unmarked(text: &str) -> String {
    let mut keys = text.split('/');
    let mut all = keys.next_back().unwrap_or_default().to_owned();
    for before in keys.rev() {
        let (run, mark) = before.rsplit_once('-').unwrap_or((before, ""));
        let is_mark = mark.len() == 10 && mark.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let run = if is_mark { run } else { before };
        all = format!("{run}/{all}");
    }
    all
}

/// A folder that is removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("folder-{}-{next}", std::process::id());
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            match std::fs::create_dir(&path) {
                // Of a test in another namespace of processes, or of one that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made.unwrap();
                    return Self(path);
                }
            }
        }
    }

    /// One with no workflow file above it, as there is one above where the others may be: in this project.
    pub(crate) fn apart() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        Self(folder.canonicalize().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    /// `coord` in this folder.
    pub(crate) fn coord<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_coord"));
        command.args(arguments);
        command
    }

    /// A program in this folder, without what the environment of the tests says of colours and groups.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.env_remove("CI").env_remove("GITHUB_ACTIONS");
        command.env("XDG_STATE_HOME", self.0.join("state"));
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `coord` did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    /// Says which signal has ended it, where one did.
    status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            status: output.status,
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "no {text:?} in {}", self.out);
        self
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        let told = format!("{}\n{}\n{}", self.status, self.out, self.err);
        assert_eq!(self.code, Some(code), "{told}");
        self
    }
}

pub(crate) fn done(mut command: Command) -> Done {
    Done::of(command.output().unwrap())
}

/// What comes of something with a time limit, before which something else has to happen: with a longer one where the
/// machine was too busy for that, or with the longest.
pub(crate) fn limited<T>(
    tried: impl Fn(Duration) -> T,
    is_in_time: impl Fn(&T) -> bool,
) -> (T, Duration) {
    for limit in [200, 2_000].map(Duration::from_millis) {
        let came = tried(limit);
        if is_in_time(&came) {
            return (came, limit);
        }
    }
    let longest = Duration::from_secs(20);
    (tried(longest), longest)
}

/// Runs a workflow in a folder of its own.
pub(crate) fn run(workflow: &str) -> Done {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    done(folder.coord(["run"]))
}

/// A `coord` that is still running.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) printed: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            out,
            printed: String::new(),
        }
    }

    /// Reads on until something is printed.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        loop {
            let from = self.printed.len();
            let read = self.out.read_line(&mut self.printed).unwrap();
            assert!(read > 0, "no {text:?} in {}", self.printed);
            if self.printed[from..].contains(text) {
                return;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops reading what it prints.
    pub(crate) fn deaf(self) -> Child {
        self.child
    }

    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.out.read_to_string(&mut self.printed).unwrap();
        (self.child.wait().unwrap(), self.printed)
    }
}

/// The numbers that were printed after `pid=`.
pub(crate) fn pids(printed: &str) -> Vec<Pid> {
    let pids = printed.split("pid=").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().unwrap()
    });
    pids.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

/// Of these signals those that end a run here: not SIGHUP, where these tests were started by `nohup`.
pub(crate) fn heard<const N: usize>(signals: [Signal; N]) -> impl Iterator<Item = Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let ignores = move |signal: &Signal| ignored >> (signal.as_raw() - 1) & 1 == 1;
    signals
        .into_iter()
        .filter(move |signal| *signal != Signal::HUP || !ignores(signal))
}

/// Whether a process is gone, or dead and waits only for its parent to notice.
pub(crate) fn is_gone(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return true;
    }
    let status = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let state = status
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}
