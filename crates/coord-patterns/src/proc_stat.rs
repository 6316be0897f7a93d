//! What Linux tells of a process in `/proc/PID/stat`.

use std::fs::{self, File};
use std::io::Read;

/// More than it is long up to the last of these, whatever the numbers before it are. All of it comes at once.
const READ: usize = 1024;

/// What is read of it; elsewhere there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcStat {
    /// Whether it has ended, and only waits to be reaped.
    pub is_over: bool,
    /// The id of its parent; 0 for one of another namespace, as below.
    pub parent: u32,
    /// The id of its group.
    pub group: u32,
    /// The id of its session.
    pub session: u32,
    /// When it began, in ticks since the system did: which no step of its clock changes.
    pub began: u64,
}

impl ProcStat {
    /// That of a process, if there is one of this id.
    pub fn of(process: u32) -> Option<Self> {
        let mut stat = [0; READ];
        let mut file = File::open(format!("/proc/{process}/stat")).ok()?;
        let read = file.read(&mut stat).ok()?;
        Self::parse(&stat[..read])
    }

    /// Every process, by its id.
    pub(crate) fn all() -> impl Iterator<Item = (u32, Self)> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|process| Some((process, Self::of(process)?)))
    }

    /// The id, the program's name in parentheses, the state, the parent, the group, the session, and more. The name may
    /// contain anything.
    fn parse(stat: &[u8]) -> Option<Self> {
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let after_name = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
        let mut fields = after_name.split_ascii_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        let mut id = || fields.next()?.parse().ok();
        let (parent, group, session) = (id()?, id()?, id()?);
        let began = fields.nth(15)?.parse().ok()?;
        Some(Self {
            is_over,
            parent,
            group,
            session,
            began,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let more = "7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = |beginning: &[u8]| ProcStat::parse(&[beginning, more.as_bytes()].concat());
        let it = ProcStat {
            is_over: false,
            parent: 1,
            group: 7,
            session: 7,
            began: 4711,
        };
        let over = ProcStat {
            is_over: true,
            ..it
        };
        assert_eq!(stat(b"9 (sh) S 1 7 "), Some(it));
        assert_eq!(stat(b"9 (a) Z 1 2 (\xff) R 1 7 "), Some(it));
        assert_eq!(
            stat(b"9 (sh) S 7 1 "),
            Some(ProcStat {
                parent: 7,
                group: 1,
                ..it
            })
        );
        assert_eq!(stat(b"9 (sh) Z 1 7 "), Some(over));
        assert_eq!(ProcStat::parse(b""), None);
        assert_eq!(ProcStat::parse(b"9 (sh) S 1 7 7 0 -1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn when_a_process_began_tells_it_from_another_with_its_id() {
        let this = ProcStat::of(std::process::id()).expect("this lives");
        assert!(this.began > 0 && !this.is_over);
        assert_eq!(ProcStat::of(std::process::id()), Some(this));
        assert_eq!(ProcStat::of(2_000_000_001), None);
    }
}
