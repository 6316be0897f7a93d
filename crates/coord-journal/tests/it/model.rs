//! Random appends, closes, fences, readers and reopenings, beside a model of a few lines.

use std::collections::BTreeMap;

use coord_bus::{
    AppendTo, Durability, EventLog, EventLogError, ExpectedVersion, Grant, Record, StreamQuery,
};
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
        token,
        prop::option::of(0..3_usize),
    );
    prop_oneof![
        12 => append.prop_map(|(stream, expected, records, durability, closes, token, needed_by)| {
            Step::Append { stream, expected, records, durability, closes, token, needed_by }
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
    needed_by: Option<String>,
}

#[derive(Debug, Default)]
struct Model {
    streams: BTreeMap<String, Kept>,
    fences: BTreeMap<String, u64>,
    appended: usize,
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
        let version = there.map_or(0, |kept| kept.contents.len() as u64);
        if !append.expected.allows(version) {
            return Err("version");
        }
        if append.records.is_empty() {
            return Ok(version);
        }
        if let Some(grant) = &append.fence {
            self.fences.insert(grant.name.clone(), grant.token);
        }
        let begun = || Kept {
            needed_by: append.needed_by.clone(),
            ..Kept::default()
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
            Some(kept) => {
                let by = kept.needed_by.as_ref().and_then(|by| self.streams.get(by));
                match by.is_some_and(|by| !by.is_closed) {
                    true => Err("needed"),
                    false => Ok(self.streams.remove(stream).is_some()),
                }
            }
        }
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

async fn run(steps: Vec<Step>) {
    let stage = Stage::new();
    let (mut journal, mut other) = (stage.open(), stage.open());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append {
                stream,
                expected,
                records,
                durability,
                closes,
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
                append.needed_by = needed_by.map(|stream| format!("stream-{stream}"));
                append.fence = token.map(|(lease, token)| Grant {
                    name: format!("lease-{lease}"),
                    holder: "holder".to_owned(),
                    token,
                });
                let wanted = model.append(&append);
                let appended = journal
                    .append(append)
                    .await
                    .map(|appended| appended.version);
                assert_eq!(appended.map_err(reason), wanted);
            }
            Step::Forget { stream } => {
                let stream = format!("stream-{stream}");
                let wanted = model.forget(&stream);
                assert_eq!(journal.forget(&stream).await.map_err(reason), wanted);
            }
            Step::Change => std::mem::swap(&mut journal, &mut other),
            Step::Reopen => {
                drop(journal);
                journal = stage.open();
            }
        }
    }
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
    fn a_journal_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(run(steps));
    }
}
