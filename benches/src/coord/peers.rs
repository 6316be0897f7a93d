//! The same jobs for `coord` and those beside it, and where their programs come from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const JOBS: usize = 300;

/// Who runs them: make, go-task, just, and `coord` without and with a journal. just has no limit to what it
/// runs at once, the others have 8.
pub(super) const CONTENDERS: [&str; 6] = [
    "make -s -j8",
    "task --concurrency 8",
    "just",
    "coord run --no-journal",
    "coord run",
    "coord run, a new journal",
];

/// The contender whose journal is one that has been in use.
pub(super) const IN_USE: usize = 4;

/// The programs.
pub(super) struct Programs<'b> {
    coord: &'b Path,
    task: PathBuf,
    just: PathBuf,
}

impl<'b> Programs<'b> {
    pub(super) fn new(coord: &'b Path) -> Self {
        Self {
            coord,
            task: provided("task", "go-task-bin", pip),
            just: provided("just", "rust-just", pip),
        }
    }

    /// That of a contender, for the jobs of this name.
    pub(super) fn command(&self, contender: usize, folder: &Path, jobs: &str) -> Command {
        let file = |end: &str| format!("{jobs}.{end}");
        let mut command = match contender {
            0 => return make(folder, jobs),
            1 => Command::new(&self.task),
            2 => Command::new(&self.just),
            _ => Command::new(self.coord),
        };
        match contender {
            1 => command.args(["--concurrency", "8", "--taskfile", &file("yml"), "all"]),
            2 => command.args(["--quiet", "--justfile", &file("just"), "all"]),
            _ => command.args(["run", "--concurrency", "8", &file("toml")]),
        };
        match contender {
            3 => command.arg("--no-journal"),
            IN_USE => command.arg("--journal").arg(folder.join("journal")),
            5 => command.arg("--journal").arg(new_journal(folder)),
            _ => &mut command,
        };
        command.current_dir(folder);
        command
    }
}

/// A folder that is not there.
fn new_journal(folder: &Path) -> PathBuf {
    let journal = folder.join("new-journal");
    let _ = std::fs::remove_dir_all(&journal);
    journal
}

/// What all are measured by.
pub(super) fn make(folder: &Path, jobs: &str) -> Command {
    let mut make = Command::new("make");
    make.args(["-s", "-j8", "-f", &format!("{jobs}.mk")]);
    make.current_dir(folder);
    make
}

/// A program that is installed, or else is put beside this one: by `install`, into a folder, from the package
/// in which those who wrote it give it out.
pub(super) fn provided(
    program: &str,
    package: &str,
    install: fn(&Path, &str) -> Command,
) -> PathBuf {
    let answers = |program: &Path| {
        let mut version = Command::new(program);
        version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    if answers(program.as_ref()) {
        return program.into();
    }
    let this = std::env::current_exe().expect("this program has a path");
    // A folder for each: pip replaces the `bin` that it finds.
    let tools = this.with_file_name("tools").join(package);
    let beside = tools.join("bin").join(program);
    if !answers(&beside) {
        let mut install = install(&tools, package);
        let status = install.status();
        assert!(
            status.is_ok_and(|status| status.success()) && answers(&beside),
            "{program} is not installed, and this did not bring it: {install:?}"
        );
    }
    beside
}

/// The package for Python.
fn pip(folder: &Path, package: &str) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
    pip.arg(folder).arg(package);
    pip
}

/// The crate, which is built: that takes some minutes, once.
pub(super) fn cargo(folder: &Path, package: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "--locked", "--root"]);
    cargo.arg(folder).arg(package);
    cargo
}

/// Writes the jobs for all: `needs` says what job `n` needs.
pub(super) fn write(folder: &Path, name: &str, needs: fn(usize) -> Option<usize>) {
    let names: Vec<_> = (0..JOBS).map(|job| format!("s{job}")).collect();
    let mut toml = String::new();
    let mut make = format!(".PHONY: all {0}\nall: {0}\n", names.join(" "));
    let mut task = format!(
        "version: '3'\nsilent: true\ntasks:\n  all:\n    deps: [{}]\n",
        names.join(", ")
    );
    let mut just = format!("[parallel]\nall: {}\n", names.join(" "));
    for job in 0..JOBS {
        let need = needs(job).map(|need| format!("s{need}"));
        let need = need.unwrap_or_default();
        let _ = writeln!(toml, "[[step]]\nid = \"s{job}\"\nrun = \"/bin/true\"");
        if !need.is_empty() {
            let _ = writeln!(toml, "needs = [\"{need}\"]");
        }
        let _ = write!(make, "s{job}: {need}\n\t@/bin/true\n");
        let _ = write!(
            task,
            "  s{job}:\n    run: once\n    deps: [{need}]\n    cmds: [/bin/true]\n"
        );
        let _ = write!(just, "s{job}: {need}\n    @/bin/true\n");
    }
    let texts = [("toml", toml), ("mk", make), ("yml", task), ("just", just)];
    for (end, text) in texts {
        std::fs::write(folder.join(format!("{name}.{end}")), text).expect("a file can be written");
    }
}
