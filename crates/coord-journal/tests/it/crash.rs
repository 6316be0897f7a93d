//! What is left after a process was killed, or the power was cut.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coord_bus::Durability;
use coord_journal::Journal;

use crate::child::{Cast, Role, WRITERS, play};
use crate::mounts::{Mount, run, skipped};
use crate::stage::{Stage, contents};

/// How often a process is killed for each durability; more where `COORD_JOURNAL_KILLS` says so.
const KILLS: usize = 15;

/// For each stream the largest version that was acknowledged.
type Ledger = BTreeMap<String, u64>;

fn note(ledger: &mut Ledger, line: &str) {
    let mut words = line.split(' ').skip(1);
    let (stream, version) = (words.next(), words.next());
    let version: Option<u64> = version.and_then(|version| version.parse().ok());
    let (stream, version) = (stream.expect("a stream"), version.expect("a version"));
    let last = ledger.entry(stream.to_owned()).or_default();
    *last = version.max(*last);
}

/// What is acknowledged until its `count`th line, and then until it dies, a moment later.
fn until_killed(mut cast: Cast, count: usize, ledger: &mut Ledger) {
    for _ in 0..count {
        let line = cast.line().expect("it goes on for ever");
        note(ledger, &line);
    }
    // tidy: sleep, because it is to be killed at any moment, and not only after a line
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..3_000)));
    cast.kill();
    while let Some(line) = cast.line() {
        note(ledger, &line);
    }
}

/// Whatever was acknowledged is there, in its order, and whole; so is everything else.
async fn assert_kept(dir: &Path, ledger: &Ledger) {
    let journal = Journal::open(dir).expect("it opens");
    for writer in 0..WRITERS {
        let stream = format!("writer-{writer}");
        let contents = contents(&journal, &stream).await;
        let acknowledged = ledger.get(&stream).copied().unwrap_or(0);
        let there = contents.len() as u64;
        assert!(there >= acknowledged, "{stream}: {there} of {acknowledged}");
        for (version, content) in (1..).zip(contents) {
            let (number, filling) = content.split_once(' ').expect("two words");
            assert_eq!(number, version.to_string());
            assert_eq!(filling.len(), number.len() * 40);
        }
    }
    let report = journal.check().await.expect("it is read");
    assert!(report.is_clean(), "{report:?}");
}

async fn killed_again_and_again(role: Role) {
    let kills = std::env::var("COORD_JOURNAL_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let stage = Stage::new();
    let mut ledger = Ledger::new();
    for _ in 0..kills {
        let cast = play(role, &stage.dir(), &[]);
        until_killed(cast, fastrand::usize(0..150), &mut ledger);
        assert_kept(&stage.dir(), &ledger).await;
    }
    assert!(ledger.len() == WRITERS && ledger.values().all(|version| *version > 0));
}

#[tokio::test]
async fn what_is_acknowledged_for_the_disk_survives_a_kill_at_any_moment() {
    killed_again_and_again(Role::Append(Durability::Disk)).await;
}

#[tokio::test]
async fn what_is_acknowledged_in_place_survives_a_kill_at_any_moment() {
    killed_again_and_again(Role::AppendInPlace).await;
}

#[tokio::test]
async fn what_is_acknowledged_for_the_process_survives_its_kill_at_any_moment() {
    killed_again_and_again(Role::Append(Durability::Process)).await;
}

#[tokio::test]
async fn what_is_acknowledged_for_the_disk_survives_a_power_cut() {
    const TEST: &str = "what_is_acknowledged_for_the_disk_survives_a_power_cut";
    const IMAGE_BYTES: u64 = 64 << 20;
    let stage = Stage::new();
    let image = stage.parent().join("image");
    let made = File::create_new(&image).and_then(|file| file.set_len(IMAGE_BYTES));
    made.expect("there is room for an image");
    let formatted = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mounted = formatted.and_then(|()| Mount::image(stage.parent().join("disk"), &image));
    let disk = match mounted {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let mut ledger = Ledger::new();
    for cut in 0..6 {
        let dir = disk.path().join("journal");
        let role = match cut % 2 {
            0 => Role::Append(Durability::Disk),
            _ => Role::AppendInPlace,
        };
        let cast = play(role, &dir, &[]);
        until_killed(cast, fastrand::usize(50..400), &mut ledger);
        // What the file system has not written to its disk is not in the copy, as after a power cut.
        let copy = stage.parent().join(format!("copy-{cut}"));
        run(Command::new("cp")
            .arg("--sparse=always")
            .args([&image, &copy]))
        .expect("it is copied");
        let after =
            Mount::image(stage.parent().join("after"), &copy).expect("it mounts, as before");
        assert_kept(&after.path().join("journal"), &ledger).await;
        drop(after);
        std::fs::remove_file(copy).expect("it is ours");
    }
    assert!(ledger.values().sum::<u64>() > 300, "{ledger:?}");
}
