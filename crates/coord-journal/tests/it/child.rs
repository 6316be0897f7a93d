//! Processes that tests start: this program itself, in a role.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Lease, LeaseExt, Record};
use coord_journal::{Journal, JournalOptions};

use crate::stage::chain;

const ROLE: &str = "COORD_JOURNAL_ROLE";
const DIR: &str = "COORD_JOURNAL_DIR";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// How many writers there are, each with a stream of its own, `writer-0` and so on.
pub(crate) const WRITERS: usize = 8;

/// What a process is started for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Appends for ever, and says `ack STREAM VERSION` after each acknowledgement.
    Append(Durability),
    /// Appends for ever, in place: to one stream after the other, each once the one before is acknowledged.
    AppendInPlace,
    /// Appends twenty records to `stream`, as above.
    AppendTwenty,
    /// Appends one record after the other until one is refused; says why, twice.
    AppendUntilRefused,
    /// The same, and then opens the journal again and appends another one: says `reopened VERSION`.
    AppendUntilRefusedAndReopen,
    /// Acquires `lease` for a day, says `token TOKEN`, and goes on for ever.
    Hold,
    /// The same, with a process beside it that has its presence; says `beside PID`, then its token.
    HoldBeside,
    /// Acquires `another` and releases it, says `released`, and goes on for ever.
    HoldAnother,
    /// Opens a journal under a umask that takes nothing away, and appends.
    OpenWithoutUmask,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Append(Durability::Disk) => "append-to-disk",
            Self::Append(_) => "append",
            Self::AppendInPlace => "append-in-place",
            Self::AppendTwenty => "append-twenty",
            Self::AppendUntilRefused => "append-until-refused",
            Self::AppendUntilRefusedAndReopen => "append-until-refused-and-reopen",
            Self::Hold => "hold",
            Self::HoldBeside => "hold-beside",
            Self::HoldAnother => "hold-another",
            Self::OpenWithoutUmask => "open-without-umask",
        }
    }
}

/// A process in a role, and what it says.
pub(crate) struct Cast {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// The command that plays a role, behind another program where that is given.
pub(crate) fn play(role: Role, dir: &Path, behind: &[&str]) -> Cast {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = match behind {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command
        .args(["--exact", "child::in_a_role", "--ignored", "--nocapture"])
        .env(ROLE, role.name())
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped"));
    Cast { child, lines }
}

impl Cast {
    /// The next line that it says of itself; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("it is text");
            // A line that was cut off by the end of the process says nothing.
            if read == 0 || !line.ends_with('\n') {
                return None;
            }
            // The test's own harness talks, too.
            let line = line.trim_end();
            if let Some(at) = line.find("said ") {
                return Some(line[at + 5..].to_owned());
            }
        }
    }

    /// All that it says until its end.
    pub(crate) fn lines(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, by the signal that nobody can catch.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listened has gone; so does this process, soon.
    let _ = out.write_all(format!("said {what}\n").as_bytes());
    let _ = out.flush();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "this is what the processes do that other tests start"]
async fn in_a_role() {
    let role = std::env::var(ROLE).expect("a role is given");
    let dir = std::env::var_os(DIR).expect("a directory is given");
    let dir = Path::new(&dir);
    match role.as_str() {
        "append-to-disk" => append_for_ever(dir, Durability::Disk).await,
        "append" => append_for_ever(dir, Durability::Process).await,
        "append-in-place" => append_in_place(dir).await,
        "append-twenty" => append_twenty(dir).await,
        "append-until-refused" => append_until_refused(dir).await,
        "append-until-refused-and-reopen" => {
            append_until_refused(dir).await;
            let journal = Journal::open(dir).expect("it opens");
            let more = AppendTo::stream("stream").record(Record::new("number", "content"));
            let version = journal.append(more).await.expect("it appends").version;
            say(&format!("reopened {version}"));
        }
        "hold" => {
            let journal = Journal::open(dir).expect("it opens");
            let grant = journal.acquire("lease", "a process", DAY).await;
            say(&format!("token {}", grant.expect("it is free").token));
            std::future::pending::<()>().await;
        }
        "hold-beside" => {
            let journal = Journal::open(dir).expect("it opens");
            let grant = journal.acquire("lease", "a process", DAY).await;
            let presence = journal.presence().expect("it is announced");
            let mut beside = Command::new("sleep");
            beside.arg("1000").stdin(presence);
            let beside = beside.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            say(&format!("beside {}", beside.expect("it starts").id()));
            say(&format!("token {}", grant.expect("it is free").token));
            std::future::pending::<()>().await;
        }
        "hold-another" => {
            let journal = Journal::open(dir).expect("it opens");
            let another = journal
                .acquire_when_free("another", "a process", SECOND)
                .await;
            let released = journal.release(another.expect("it is free")).await;
            released.expect("it is held");
            say("released");
            std::future::pending::<()>().await;
        }
        "open-without-umask" => {
            rustix::process::umask(rustix::fs::Mode::empty());
            append_twenty(dir).await;
        }
        other => panic!("{other} is no role"),
    }
}

async fn append_for_ever(dir: &Path, durability: Durability) {
    let journal = Arc::new(Journal::open(dir).expect("it opens"));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_for_ever(Arc::clone(&journal), writer, durability)))
        .collect();
    for writer in writers {
        writer.await.expect("it goes on");
    }
}

async fn append_in_place(dir: &Path) {
    let options = JournalOptions::new().commit_in_place();
    let journal = options.open(dir).expect("it opens");
    let mut versions = [0; WRITERS];
    for (writer, version) in versions.iter_mut().enumerate() {
        *version = begun(&journal, writer).await;
    }
    loop {
        for (writer, version) in versions.iter_mut().enumerate() {
            *version = write_next(&journal, writer, *version, Durability::Disk).await;
        }
    }
}

async fn write_for_ever(journal: Arc<Journal>, writer: usize, durability: Durability) {
    let mut version = begun(&journal, writer).await;
    loop {
        version = write_next(&journal, writer, version, durability).await;
    }
}

/// How far a writer's stream is.
async fn begun(journal: &Journal, writer: usize) -> u64 {
    let stream = format!("writer-{writer}");
    let begun = journal.read(&stream, 1, usize::MAX).await;
    begun.expect("it is read").len() as u64
}

/// One, two or three records, each with its version in it. The version then.
async fn write_next(journal: &Journal, writer: usize, version: u64, durability: Durability) -> u64 {
    let stream = format!("writer-{writer}");
    let count = version % 3 + 1;
    let records = (1..=count).map(|add| {
        let version = (version + add).to_string();
        let filling = "x".repeat(version.len() * 40);
        Record::new("number", format!("{version} {filling}"))
    });
    let append = AppendTo::stream(&*stream)
        .expecting(ExpectedVersion::Exactly(version))
        .records(records)
        .durably(durability)
        .alone();
    let version = journal.append(append).await.expect("it appends").version;
    say(&format!("ack {stream} {version}"));
    version
}

async fn append_twenty(dir: &Path) {
    let journal = Journal::open(dir).expect("it opens");
    for _ in 0..20 {
        let append = AppendTo::stream("stream").record(Record::new("from another process", ""));
        let version = journal.append(append).await.expect("it appends").version;
        say(&format!("ack stream {version}"));
    }
}

async fn append_until_refused(dir: &Path) {
    let journal = Journal::open(dir).expect("it opens");
    let append = || AppendTo::stream("stream").record(Record::new("number", "content"));
    loop {
        match journal.append(append()).await {
            Ok(appended) => say(&format!("ack stream {}", appended.version)),
            Err(error) => {
                say(&format!("refused {}", chain(&error)));
                break;
            }
        }
    }
    let again = journal.append(append()).await;
    say(&format!(
        "again {}",
        chain(&again.expect_err("it has failed"))
    ));
}
