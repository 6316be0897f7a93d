//! The same jobs for pueue, whose daemon runs what its client hands over: one task a call.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::{JOBS, cargo, make, provided};
use super::{Bench, timed};
use crate::report::{Report, Row};

/// How long its daemon may take until it answers.
const START: Duration = Duration::from_secs(10);

/// Once each, beside make: the daemon looks for what to start some times a second, and `pueue wait`
/// whether all is done, so a chain takes a minute and more, whatever the machine.
pub(super) fn run(bench: &Bench) {
    let client = provided("pueue", "pueue", cargo);
    let contenders = ["make -s -j8", "pueue add, once a job, then pueue wait"];
    let unit = "ms for the same jobs, once";
    let report = Report::new("coord", unit, contenders);
    for name in ["independent", "chain"] {
        let daemon = Daemon::start(&client, &bench.folder.join(format!("pueue-{name}")));
        let row = Row::rounds(name.to_owned(), contenders.len(), 1, |contender| {
            let mut jobs = match contender {
                0 => make(&bench.folder, name),
                _ => daemon.jobs(name == "chain"),
            };
            timed(jobs.stderr(Stdio::null())).as_secs_f64() * 1e3
        });
        report.row(&row);
    }
}

/// A daemon of its own, with a folder of its own. Dropped, it is killed, also by a bench that fails.
struct Daemon<'c> {
    client: &'c Path,
    config: PathBuf,
    process: Child,
}

impl<'c> Daemon<'c> {
    fn start(client: &'c Path, folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        let (config, place) = (folder.join("pueue.yml"), folder.display());
        let settings = format!(
            "shared:\n  pueue_directory: {place}\n  runtime_directory: {place}\nclient: {{}}\ndaemon: {{}}\n"
        );
        std::fs::write(&config, settings).expect("a file can be written");
        let mut daemon = Command::new(client.with_file_name("pueued"));
        daemon.arg("--config").arg(&config).current_dir(folder);
        let daemon = daemon
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = Self {
            client,
            config,
            process: daemon.spawn().expect("pueued starts"),
        };
        let start = Instant::now();
        while !daemon.answers(&["status"]) {
            let waited = start.elapsed();
            assert!(waited < START, "pueued does not answer within {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            daemon.answers(&["parallel", "8"]),
            "pueue does not know `parallel`"
        );
        daemon
    }

    /// Whether the client does this, and says that it is done.
    fn answers(&self, arguments: &[&str]) -> bool {
        let mut client = Command::new(self.client);
        client.arg("--config").arg(&self.config).args(arguments);
        let client = client.stdout(Stdio::null()).stderr(Stdio::null());
        client.status().is_ok_and(|status| status.success())
    }

    /// Hands all jobs over, from one shell, and waits until all have succeeded.
    fn jobs(&self, is_chain: bool) -> Command {
        let add = "\"$PUEUE\" --config \"$CONFIG\" add";
        let adding = match is_chain {
            true => format!(
                "id=$({add} --print-task-id -- /bin/true)
                for job in $(seq 2 {JOBS}); do id=$({add} --print-task-id --after \"$id\" -- /bin/true); done"
            ),
            false => format!("for job in $(seq {JOBS}); do {add} -- /bin/true; done"),
        };
        let wait = "\"$PUEUE\" --config \"$CONFIG\" wait --quiet --status success";
        let mut shell = Command::new("sh");
        shell.args(["-ec", &format!("{adding}\n{wait}")]);
        shell.env("PUEUE", self.client).env("CONFIG", &self.config);
        shell
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // What has not ended by itself is not to stay.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
