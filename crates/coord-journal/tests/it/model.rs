//! Random appends, closes, fences, readers and reopenings, one by one and many in one transaction, beside a model of
//! a few lines.

use std::collections::BTreeMap;

use coord_bus::{
    AppendTo, Durability, EventLog, EventLogError, ExpectedVersion, Grant, Record, StreamQuery,
};
use coord_journal::Journal;
use futures_util::future::join_all;
use futures_util::poll;
use proptest::prelude::*;

use crate::stage::{Stage, contents};

#[derive(Debug, Clone)]
enum Step {
    Append {
        stream: usize,
        expected: ExpectedVersion,
        records: usize,
        durability: Durability,
        closes: bool,
        replaces: bool,
        token: Option<(usize, u64)>,
        needed_by: Option<usize>,
    },
    Forget {
        stream: usize,
    },
    /// By the other of two journals in the same directory.
    Change,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let expected = prop_oneof![
        3 => Just(ExpectedVersion::Any),
        1 => Just(ExpectedVersion::Empty),
        3 => (0..8_u64).prop_map(ExpectedVersion::Exactly),
    ];
    let durability = prop_oneof![Just(Durability::Disk), Just(Durability::Process)];
    let token = prop_oneof![
        2 => Just(None),
        1 => (0..2_usize, 1..6_u64).prop_map(Some),
    ];
    let append = (
        0..3_usize,
        expected,
        0..3_usize,
        durability,
        any::<bool>(),
        any::<bool>(),
        token,
        prop::option::of(0..3_usize),
    );
    prop_oneof![
        12 => append.prop_map(|(stream, expected, records, durability, closes, replaces, token, needed_by)| {
            Step::Append { stream, expected, records, durability, closes, replaces, token, needed_by }
        }),
        2 => (0..3_usize).prop_map(|stream| Step::Forget { stream }),
        2 => Just(Step::Change),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Kept {
    contents: Vec<String>,
    is_closed: bool,
    /// How many streams had begun before it.
    number: usize,
    needed_by: Option<String>,
}

#[derive(Debug, Default)]
struct Model {
    streams: BTreeMap<String, Kept>,
    fences: BTreeMap<String, u64>,
    appended: usize,
    begun: usize,
}

impl Model {
    /// What an append does; the version then, or why it is refused.
    fn append(&mut self, append: &AppendTo) -> Result<u64, &'static str> {
        let newest = append
            .fence
            .as_ref()
            .map(|grant| self.fences.get(&grant.name));
        let newest = newest.flatten().copied().unwrap_or(0);
        if append
            .fence
            .as_ref()
            .is_some_and(|grant| grant.token < newest)
        {
            return Err("fenced");
        }
        let there = self.streams.get(&append.stream);
        let replaces = append.replaces && !append.records.is_empty();
        let there = there.filter(|kept| !(replaces && kept.is_closed));
        let version = there.map_or(0, |kept| kept.contents.len() as u64);
        if !append.expected.allows(version) {
            return Err("version");
        }
        if append.records.is_empty() {
            return Ok(version);
        }
        if replaces && there.is_none() && self.is_needed(&append.stream) {
            return Err("needed");
        }
        if there.is_none() {
            self.streams.remove(&append.stream);
        }
        if let Some(grant) = &append.fence {
            self.fences.insert(grant.name.clone(), grant.token);
        }
        let begun = || {
            self.begun += 1;
            Kept {
                number: self.begun,
                needed_by: append.needed_by.clone(),
                ..Kept::default()
            }
        };
        let kept = self.streams.entry(append.stream.clone());
        let kept = kept.or_insert_with(begun);
        for record in &append.records {
            let content = String::from_utf8(record.payload.clone());
            kept.contents.push(content.unwrap());
        }
        kept.is_closed = append.closes;
        Ok(kept.contents.len() as u64)
    }

    fn forget(&mut self, stream: &str) -> Result<bool, &'static str> {
        match self.streams.get(stream) {
            None => Ok(false),
            Some(kept) if !kept.is_closed => Err("open"),
            Some(_) if self.is_needed(stream) => Err("needed"),
            Some(_) => Ok(self.streams.remove(stream).is_some()),
        }
    }

    fn is_needed(&self, stream: &str) -> bool {
        let Some(kept) = self.streams.get(stream) else {
            return false;
        };
        let by = kept.needed_by.as_ref();
        let by = by.and_then(|by| self.streams.get(by));
        by.is_some_and(|by| !by.is_closed && by.number < kept.number)
    }
}

fn reason(error: EventLogError) -> &'static str {
    match error {
        EventLogError::Fenced { .. } => "fenced",
        EventLogError::WrongVersion { .. } => "version",
        EventLogError::StillOpen { .. } => "open",
        EventLogError::StillNeeded { .. } => "needed",
        other => panic!("{other:?}"),
    }
}

/// What is asked of a journal, and what it has to answer.
enum Asked {
    Append(AppendTo, Result<u64, &'static str>),
    Forget(String, Result<bool, &'static str>),
}

impl Asked {
    async fn answered_by(self, journal: &Journal) {
        match self {
            Self::Append(append, wanted) => {
                let appended = journal.append(append).await;
                let version = appended.map(|appended| appended.version);
                assert_eq!(version.map_err(reason), wanted);
            }
            Self::Forget(stream, wanted) => {
                assert_eq!(journal.forget(&stream).await.map_err(reason), wanted);
            }
        }
    }
}

/// Asks for all of it at once: the first is a transaction, and the others are one.
async fn settle(stage: &Stage, journal: &Journal, asked: &mut Vec<Asked>) {
    let mut answers = join_all(asked.drain(..).map(|asked| asked.answered_by(journal)));
    let stranger = stage.connect();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let is_done = poll!(&mut answers).is_ready();
    stranger.execute_batch("COMMIT").unwrap();
    if !is_done {
        answers.await;
    }
}

async fn run(steps: Vec<(Step, bool)>) {
    let stage = Stage::in_memory();
    let (mut journal, mut other) = (stage.open(), stage.open());
    let mut model = Model::default();
    let mut asked = Vec::new();
    for (step, is_last) in steps {
        match step {
            Step::Append {
                stream,
                expected,
                records,
                durability,
                closes,
                replaces,
                token,
                needed_by,
            } => {
                let mut append = AppendTo::stream(format!("stream-{stream}"))
                    .expecting(expected)
                    .durably(durability);
                for _ in 0..records {
                    model.appended += 1;
                    append = append.record(Record::new("kind", model.appended.to_string()));
                }
                append.closes = closes;
                append.replaces = replaces;
                append.needed_by = needed_by.map(|stream| format!("stream-{stream}"));
                append.fence = token.map(|(lease, token)| Grant {
                    name: format!("lease-{lease}"),
                    holder: "holder".to_owned(),
                    token,
                });
                let wanted = model.append(&append);
                asked.push(Asked::Append(append, wanted));
            }
            Step::Forget { stream } => {
                let stream = format!("stream-{stream}");
                let wanted = model.forget(&stream);
                asked.push(Asked::Forget(stream, wanted));
            }
            Step::Change => {
                settle(&stage, &journal, &mut asked).await;
                std::mem::swap(&mut journal, &mut other);
            }
            Step::Reopen => {
                settle(&stage, &journal, &mut asked).await;
                drop(journal);
                journal = stage.open();
            }
        }
        if is_last {
            settle(&stage, &journal, &mut asked).await;
        }
    }
    settle(&stage, &journal, &mut asked).await;
    let listed = other.streams(&StreamQuery::by_name()).await.unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|stream| (stream.name, stream.is_closed))
        .collect();
    let wanted = model
        .streams
        .iter()
        .map(|(name, kept)| (name.clone(), kept.is_closed));
    assert!(listed.into_iter().eq(wanted));
    for (name, kept) in &model.streams {
        assert_eq!(contents(&other, name).await, kept.contents);
    }
    assert!(other.check().await.unwrap().is_clean());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_does_what_the_model_does(
        steps in prop::collection::vec((step(), prop::bool::weighted(0.3)), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(run(steps));
    }
}
