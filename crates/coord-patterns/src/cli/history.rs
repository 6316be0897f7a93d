//! What was run before: how often, and when last.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest line that is remembered, in bytes.
const MAX_LINE: usize = 1024;

/// How much all ranks together are at most, and what they are scaled down to then.
const MAX_RANK: f64 = 10_000.0;
const SCALED_RANK: f64 = 9_000.0;

/// The largest file that is read: all lines that there may be, and more.
const MAX_FILE: u64 = 64 * 1024 * 1024;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// What was run before.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: BTreeMap<String, Run>,
    /// What was run and is not in the file yet, because that could not be written.
    unsaved: BTreeMap<String, Run>,
    file: Option<PathBuf>,
    limit: usize,
}

/// How often a line was run, scaled, and when last, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Run {
    rank: f64,
    last: i64,
}

impl Run {
    fn score(self, now: i64) -> f64 {
        let age = now.saturating_sub(self.last);
        self.rank
            * match age {
                ..HOUR => 4.0,
                HOUR..DAY => 2.0,
                DAY..WEEK => 0.5,
                _ => 0.25,
            }
    }
}

impl History {
    pub(super) fn new(file: Option<PathBuf>, limit: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            unsaved: BTreeMap::new(),
            file,
            limit,
        }
    }

    /// Reads what is in the file, if there is one.
    pub(super) fn load(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        match fs::File::open(file) {
            Ok(opened) => opened.take(MAX_FILE).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        // A line that is none is of no use to anybody.
        self.lines = String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| serde_json::from_str::<(String, Run)>(line).ok())
            .filter(|(_, run)| (0.0..=MAX_RANK).contains(&run.rank))
            .collect();
        Ok(())
    }

    /// A line is run now.
    pub(super) fn record(&mut self, line: &str, now: i64) -> io::Result<()> {
        if line.starts_with(char::is_whitespace) || line.is_empty() || line.len() > MAX_LINE {
            return Ok(());
        }
        let line = line.trim_end();
        let once = Run {
            rank: 1.0,
            last: now,
        };
        add(&mut self.unsaved, line, once);
        if self.unsaved.len() > self.limit {
            let oldest = self.unsaved.iter().min_by_key(|(_, run)| run.last);
            let oldest = oldest.map(|(line, _)| line.clone());
            oldest.and_then(|line| self.unsaved.remove(&line));
        }
        // With what other programs have written meanwhile.
        let loaded = self.load();
        match &loaded {
            Ok(()) if self.file.is_some() => {
                for (line, run) in &self.unsaved {
                    add(&mut self.lines, line, *run);
                }
            }
            _ => add(&mut self.lines, line, once),
        }
        self.forget(now);
        loaded?;
        self.save()?;
        self.unsaved.clear();
        Ok(())
    }

    /// Whether something was run that could not be written.
    pub(super) fn is_behind(&self) -> bool {
        !self.unsaved.is_empty()
    }

    fn forget(&mut self, now: i64) {
        let all: f64 = self.lines.values().map(|run| run.rank).sum();
        if all > MAX_RANK {
            let scale = SCALED_RANK / all;
            self.lines.values_mut().for_each(|run| run.rank *= scale);
            self.lines.retain(|_, run| run.rank >= 1.0);
        }
        let surplus = self.lines.len().saturating_sub(self.limit);
        if surplus > 0 {
            let mut scores: Vec<(f64, String)> = self
                .lines
                .iter()
                .map(|(line, run)| (run.score(now), line.clone()))
                .collect();
            scores.select_nth_unstable_by(surplus - 1, |(one, _), (other, _)| one.total_cmp(other));
            for (_, line) in &scores[..surplus] {
                self.lines.remove(line);
            }
        }
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut text = Vec::new();
        for entry in &self.lines {
            serde_json::to_writer(&mut text, &entry)?;
            text.push(b'\n');
        }
        replace(file, &text)
    }

    /// What most likely becomes of a line that begins so.
    pub(super) fn predict(&self, begin: &str, now: i64) -> Option<&str> {
        let runs = self
            .lines
            .range::<str, _>((Bound::Included(begin), Bound::Unbounded));
        let runs = runs.take_while(|(line, _)| line.starts_with(begin));
        let runs = runs.filter(|(line, _)| *line != begin);
        let best = runs.max_by(|(_, one), (_, other)| {
            let by_score = one.score(now).total_cmp(&other.score(now));
            by_score.then(one.last.cmp(&other.last))
        });
        best.map(|(line, _)| &**line)
    }
}

fn add(lines: &mut BTreeMap<String, Run>, line: &str, more: Run) {
    let run = lines.entry(line.to_owned());
    let run = run.or_insert(Run { rank: 0.0, ..more });
    run.rank += more.rank;
    run.last = run.last.max(more.last);
}

/// Puts a file that only its owner can read in the place of another, at once; in a directory that only
/// its owner can read, where there is none.
fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent().filter(|parent| *parent != Path::new("")) {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    // One that is left from before may be readable to others.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = opened
        .write_all(content)
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(limit: usize) -> History {
        History::new(None, limit)
    }

    #[test]
    fn what_was_run_lately_counts_for_more_than_what_was_run_often() {
        let mut history = history(10);
        let now = 100 * WEEK;
        for _ in 0..7 {
            history.record("deploy staging", now - 2 * DAY).unwrap();
        }
        history.record("deploy production", now - 60).unwrap();
        // Seven times a half, and once four.
        assert_eq!(history.predict("deploy", now), Some("deploy production"));
        // Seven times a quarter, and once two.
        let later = now + DAY - 120;
        assert_eq!(history.predict("deploy", later), Some("deploy staging"));
        assert_eq!(history.predict("deploy staging", now), None);
        assert_eq!(history.predict("x", now), None);
    }

    #[test]
    fn a_history_is_bounded_in_lines_and_in_counts() {
        let mut history = history(3);
        for line in ["a", "b", "c", "d"] {
            history
                .record(line, if line == "b" { 0 } else { WEEK * 9 })
                .unwrap();
        }
        let kept: Vec<_> = history.lines.keys().map(String::as_str).collect();
        assert_eq!(kept, ["a", "c", "d"]);
        history.lines.get_mut("a").unwrap().rank = MAX_RANK;
        history.lines.get_mut("c").unwrap().rank = 1.05;
        history.record("a", WEEK * 9).unwrap();
        let all: f64 = history.lines.values().map(|run| run.rank).sum();
        assert!(all <= SCALED_RANK);
        let kept: Vec<_> = history.lines.keys().map(String::as_str).collect();
        assert_eq!(kept, ["a"], "what falls below 1 is forgotten");
    }

    #[test]
    fn what_begins_with_a_space_or_is_too_long_is_not_remembered() {
        let mut history = history(10);
        history.record(" secret", 0).unwrap();
        history.record(&"x".repeat(MAX_LINE + 1), 0).unwrap();
        assert!(history.lines.is_empty());
    }

    #[test]
    fn a_directory_that_is_missing_is_made_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let house = tempfile::tempdir().unwrap();
        let directory = house.path().join("state/app");
        let file = directory.join("history");
        let mut history = History::new(Some(file.clone()), 10);
        history.record("deploy", 0).unwrap();
        history.record("test", 0).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
        let mut again = History::new(Some(file), 10);
        again.load().unwrap();
        assert_eq!(again.lines.len(), 2);
    }

    #[test]
    fn what_could_not_be_written_is_remembered_and_written_with_the_next() {
        let house = tempfile::tempdir().unwrap();
        let directory = house.path().join("state");
        let file = directory.join("history");
        // A file where the directory is to be.
        fs::write(&directory, "").unwrap();
        let mut history = History::new(Some(file.clone()), 3);
        for (second, line) in ["a", "b", "b", "c", "d"].into_iter().enumerate() {
            history.record(line, second as i64).unwrap_err();
        }
        assert!(history.is_behind());
        assert_eq!(history.predict("b", 9), None, "it is whole");
        assert_eq!(history.predict("", 9), Some("b"), "it ran twice");
        fs::remove_file(&directory).unwrap();
        history.record("d", 9).unwrap();
        assert!(!history.is_behind());
        let mut again = History::new(Some(file), 3);
        again.load().unwrap();
        let lines: Vec<_> = {
            let lines = again.lines.iter();
            lines.map(|(line, run)| (&**line, run.rank)).collect()
        };
        assert_eq!(lines, [("b", 2.0), ("c", 1.0), ("d", 2.0)]);
    }

    #[test]
    fn a_line_of_the_file_with_a_rank_that_there_cannot_be_is_left_out_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history");
        let line =
            |line: &str, rank: &str| format!("[\"{line}\",{{\"rank\":{rank},\"last\":0}}]\n");
        // Together they are more than there is a number for.
        let ranks = [
            ("a", "1.7e308"),
            ("b", "1.7e308"),
            ("c", "-3.0"),
            ("deploy", "2.0"),
        ];
        let text: String = ranks.map(|(name, rank)| line(name, rank)).concat();
        fs::write(&file, text).unwrap();
        let mut history = History::new(Some(file), 10);
        history.record("test", 0).unwrap();
        let lines: Vec<_> = history.lines.keys().map(String::as_str).collect();
        assert_eq!(lines, ["deploy", "test"]);
    }

    #[test]
    fn a_line_of_the_file_that_is_no_text_is_left_out_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history");
        let text = b"[\"deploy\",{\"rank\":1.0,\"last\":0}]\n[\"\xff\n[\"test\",{\"rank\":1.0,\"last\":0}]\n";
        fs::write(&file, text).unwrap();
        let mut history = History::new(Some(file), 10);
        history.load().unwrap();
        let lines: Vec<_> = history.lines.keys().map(String::as_str).collect();
        assert_eq!(lines, ["deploy", "test"]);
    }
}
