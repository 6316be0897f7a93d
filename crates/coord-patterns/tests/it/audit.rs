//! The audit trail: what is written, what is left out, and what is noticed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{AUDIT_LOG, AuditEvent, ERROR_DETECTED};
use coord_bus::{
    AppendTo, Appended, BoxFuture, BusExt, Envelope, EventLog, EventLogError, EventLogProxy,
    LocalBus, MemoryEventLog, Record, Timestamp, Topic,
};
use coord_patterns::audit::{
    self, AuditConfig, AuditError, AuditFacts, AuditFault, AuditHead, AuditTrail, AuditWriter,
};
use coord_patterns::pattern::{IntegrationPatterns, PatternHandle, PatternState};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stage::within;

const SOON: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
struct Login {
    user: String,
    password: String,
}

const LOGINS: Topic<Login> = Topic::new("logins").capacity(8);

fn change(subject: &str) -> AuditEvent {
    AuditEvent {
        at: Timestamp::UNIX_EPOCH,
        actor: "ada".to_owned(),
        action: "change".to_owned(),
        subject: subject.to_owned(),
        before: Some(json!({ "limit": 1, "Token": "abc" })),
        after: None,
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))
}

async fn start(trail: &AuditTrail, bus: &Arc<LocalBus>) -> PatternHandle {
    let started = PatternHandle::start(trail, bus.clone(), clock()).await;
    started.expect("it starts")
}

async fn writer(log: &Arc<MemoryEventLog>) -> Result<AuditWriter, AuditError> {
    AuditWriter::open(log.clone(), &AuditConfig::default(), clock()).await
}

fn fact(action: &str) -> AuditFacts {
    AuditFacts {
        action: action.to_owned(),
        ..AuditFacts::default()
    }
}

#[tokio::test]
async fn an_entry_says_who_did_what_and_no_secret() {
    let (bus, log) = (Arc::new(LocalBus::new()), Arc::new(MemoryEventLog::new()));
    let trail = AuditTrail::new(log.clone(), AuditConfig::default()).topic(&LOGINS);
    let handle = start(&trail, &bus).await;
    let login = Envelope::new(Login {
        user: "ada".to_owned(),
        password: "lovelace".to_owned(),
    });
    let login = login
        .source("door")
        .correlation_id("visit-1")
        .causation_id("bell-2");
    bus.publisher(&LOGINS)
        .unwrap()
        .publish_with(login)
        .await
        .unwrap();
    let audit = bus.publisher(&AUDIT_LOG).unwrap();
    audit.publish(change("account/1")).await.unwrap();
    assert!(handle.stop(SOON).await.aborted.is_empty());

    let mut entries = audit::entries(&*log, "audit", 1, 9).await.unwrap();
    entries.sort_by(|one, other| one.topic.cmp(&other.topic));
    let [change, login] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(
        change.before,
        Some(json!({ "limit": 1, "Token": "[redacted]" }))
    );
    assert_eq!((&*change.actor, &*change.subject), ("ada", "account/1"));
    let event = json!({ "user": "ada", "password": "[redacted]" });
    assert_eq!(login.event, Some(event));
    assert_eq!((&*login.actor, &*login.action), ("door", "logins"));
    assert_eq!(login.correlation.as_deref(), Some("visit-1"));
    assert_eq!(login.causation.as_deref(), Some("bell-2"));
    assert!(login.to_string().contains("door  logins  {"), "{login}");
    let records = log.read("audit", 1, 9).await.unwrap();
    for record in records {
        let text = String::from_utf8(record.record.payload).unwrap();
        assert!(
            !text.contains("lovelace") && !text.contains("abc"),
            "{text}"
        );
    }
    assert_eq!(
        trail.head(),
        audit::verify(&*log, "audit", None).await.unwrap()
    );
    assert_eq!(handle.statistics()["recorded"], 2);
}

#[tokio::test]
async fn no_entry_obeys_what_it_says_to_a_terminal() {
    let log = Arc::new(MemoryEventLog::new());
    let mut facts = fact("signs\nin");
    facts.actor = "\u{1b}[2J\u{202e}".to_owned();
    facts.event = Some(json!("\u{9b}31m"));
    writer(&log).await.unwrap().append([facts]).await.unwrap();
    let entries = audit::entries(&*log, "audit", 1, 1).await.unwrap();
    let line = entries[0].to_string();
    let told = r#"  \u{1b}[2J\u{202e}  signs\nin  "\u{9b}31m""#;
    assert!(line.ends_with(told), "{line}");
}

#[tokio::test]
async fn the_hash_is_that_of_the_line_without_it() {
    let log = Arc::new(MemoryEventLog::new());
    writer(&log)
        .await
        .unwrap()
        .append([fact("one")])
        .await
        .unwrap();
    let line = log
        .read("audit", 1, 1)
        .await
        .unwrap()
        .remove(0)
        .record
        .payload;
    let line = String::from_utf8(line).unwrap();
    let content = format!("{{{}", &line[75..]);
    let hash = blake3::hash(content.as_bytes()).to_string();
    assert_eq!(line, format!("{{\"hash\":\"{hash}\",{}", &content[1..]));
    let zeros = "0".repeat(64);
    let said = r#"{"trail":"audit","number":1,"at":"1970-01-01T00:00:00Z","topic":"","actor":"","#;
    assert_eq!(
        content,
        format!(r#"{said}"action":"one","previous":"{zeros}"}}"#)
    );
}

#[tokio::test]
async fn a_trail_goes_on_where_it_ended_and_not_after_damage() {
    let log = Arc::new(MemoryEventLog::new());
    for count in 1..=3 {
        let mut writer = writer(&log).await.unwrap();
        let head = writer.append([fact("one")]).await.unwrap();
        assert_eq!(head.entries, count);
    }
    let head = audit::verify(&*log, "audit", None).await.unwrap();
    assert_eq!(head.entries, 3);
    let forged = AppendTo::stream("audit").record(Record::new("audit", "{}"));
    log.append(forged).await.unwrap();
    let error = writer(&log).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the audit trail was tampered with: entry 4 was altered"
    );
    // With causes, it says nothing twice.
    assert_eq!(coord_bus::WithCauses(&error).to_string(), error.to_string());
}

#[tokio::test]
async fn of_two_writers_the_one_that_comes_too_late_is_refused() {
    let log = Arc::new(MemoryEventLog::new());
    let mut one = writer(&log).await.unwrap();
    let mut other = writer(&log).await.unwrap();
    one.append([fact("one")]).await.unwrap();
    let error = other.append([fact("other")]).await.unwrap_err();
    assert!(
        matches!(
            error,
            AuditError::OtherWriter {
                expected: 0,
                actual: 1,
                ..
            }
        ),
        "{error}"
    );
    one.append([fact("two")]).await.unwrap();
    let entries = audit::entries(&*log, "audit", 1, 9).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    assert_eq!(actions, ["one", "two"]);
}

#[tokio::test]
async fn a_trail_that_has_another_writer_says_so_and_lets_publishers_go() {
    let (bus, log) = (Arc::new(LocalBus::new()), Arc::new(MemoryEventLog::new()));
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let patterns = IntegrationPatterns::new(bus.clone());
    let config = AuditConfig::default();
    let created =
        patterns.create_audit_trail_pattern(log.clone(), config, |trail| trail.topic(&LOGINS));
    created.unwrap();
    let handle = patterns.enable("audit-trail").await.unwrap();
    writer(&log)
        .await
        .unwrap()
        .append([fact("other")])
        .await
        .unwrap();
    let audit = bus.publisher(&AUDIT_LOG).unwrap();
    audit.publish(change("x")).await.unwrap();
    let error = within(errors.recv()).await.unwrap();
    assert!(
        error
            .message
            .contains("has another writer: it is at entry 1"),
        "{}",
        error.message
    );
    assert!(matches!(handle.state(), PatternState::Failed { .. }));
    // Far more than the topic's capacity.
    let logins = bus.publisher(&LOGINS).unwrap();
    for _ in 0..100 {
        let (user, password) = (String::new(), String::new());
        within(logins.publish(Login { user, password }))
            .await
            .unwrap();
    }
}

/// A log whose appends fail, so many times: before they have happened, or after.
struct Failing {
    log: MemoryEventLog,
    fails: AtomicUsize,
    after: bool,
}

impl EventLogProxy for Failing {
    fn log(&self) -> &dyn EventLog {
        &self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            let asks = append.records.is_empty();
            let less = |left: usize| left.checked_sub(1);
            let (order, read) = (Ordering::SeqCst, Ordering::SeqCst);
            if asks || self.fails.fetch_update(order, read, less).is_err() {
                return self.log.append(append).await;
            }
            if self.after {
                self.log.append(append).await?;
            }
            Err(EventLogError::Failed {
                source: "the disk is gone".into(),
            })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_fails_for_a_while_gets_each_entry_once() {
    for after in [false, true] {
        let bus = Arc::new(LocalBus::new());
        let log = Arc::new(Failing {
            log: MemoryEventLog::new(),
            fails: 3.into(),
            after,
        });
        let trail = AuditTrail::new(log.clone(), AuditConfig::default()).topic(&LOGINS);
        let handle = start(&trail, &bus).await;
        let logins = bus.publisher(&LOGINS).unwrap();
        let seen = Arc::new(Mutex::new(false));
        for count in 0..50 {
            let (user, password) = (count.to_string(), String::new());
            logins.publish(Login { user, password }).await.unwrap();
            let degraded = matches!(handle.state(), PatternState::Degraded { .. });
            *seen.lock().unwrap() |= degraded;
        }
        assert!(
            *seen.lock().unwrap(),
            "publishers have waited, and it was said why"
        );
        assert!(handle.stop(SOON * 100).await.aborted.is_empty());
        let entries = audit::entries(&*log, "audit", 1, 99).await.unwrap();
        let users = entries
            .iter()
            .map(|entry| entry.event.clone().unwrap()["user"].clone());
        let wanted = (0..50).map(|count| json!(count.to_string()));
        assert_eq!(users.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        assert_eq!(
            audit::verify(&*log, "audit", None).await.unwrap().entries,
            50
        );
    }
}

#[tokio::test]
async fn an_entry_that_is_too_long_keeps_who_did_what() {
    let log = Arc::new(MemoryEventLog::new());
    let mut long = fact("paste");
    long.event = Some(json!({ "text": "x".repeat(audit::MAX_ENTRY) }));
    writer(&log).await.unwrap().append([long]).await.unwrap();
    let entry = audit::entries(&*log, "audit", 1, 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(entry.action, "paste");
    assert_eq!(
        entry.event.unwrap()["omitted_bytes"],
        json!(audit::MAX_ENTRY + 11)
    );
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |value, count| match count % 3 {
        0 => json!({ "in": value }),
        _ => json!([value]),
    })
}

#[tokio::test]
async fn a_value_that_is_nested_too_deep_is_left_out_and_the_trail_goes_on() {
    let log = Arc::new(MemoryEventLog::new());
    for (depth, is_kept) in [(audit::MAX_DEPTH, true), (audit::MAX_DEPTH + 1, false)] {
        let after = nested(depth);
        let entry = AuditFacts {
            before: Some(json!(1)),
            after: Some(after.clone()),
            ..fact("nest")
        };
        // Each goes on with the trail anew.
        writer(&log).await.unwrap().append([entry]).await.unwrap();
        let entry = audit::entries(&*log, "audit", 1, 9).await.unwrap().pop();
        let entry = entry.unwrap();
        assert_eq!(
            (entry.action.as_str(), entry.before),
            ("nest", Some(json!(1)))
        );
        let text = after.to_string();
        let omitted = json!({
            "omitted_bytes": text.len(),
            "blake3": blake3::hash(text.as_bytes()).to_hex().as_str(),
        });
        assert_eq!(entry.after.unwrap(), if is_kept { after } else { omitted });
    }
    assert_eq!(
        audit::verify(&*log, "audit", None).await.unwrap().entries,
        2
    );
}

#[tokio::test]
async fn an_old_trail_with_a_value_that_is_nested_too_deep_is_whole_and_goes_on() {
    for (depth, more, is_whole) in [
        (127, "", true),
        (128, "", true),
        (5_000, "", true),
        (5_000, ",\"actor\":\"bob\"", false),
        (5_000, ", \"more\":1", false),
    ] {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let previous = "0".repeat(64);
        let content = format!(
            "\"trail\":\"audit\",\"number\":1,\"at\":\"1970-01-01T00:00:00Z\",\"topic\":\"\",\
             \"actor\":\"ada\",\"action\":\"nest\"{more},\"after\":{deep},\"previous\":\"{previous}\"}}"
        );
        let hash = blake3::hash(format!("{{{content}").as_bytes()).to_hex();
        let line = format!("{{\"hash\":\"{hash}\",{content}");
        let log = Arc::new(MemoryEventLog::new());
        let append = AppendTo::stream("audit").record(Record::new("audit", line.into_bytes()));
        log.append(append).await.unwrap();
        if !is_whole {
            let error = audit::verify(&*log, "audit", None).await.unwrap_err();
            let altered = AuditFault::Altered { number: 1 };
            assert!(matches!(error, AuditError::Tampered(fault) if fault == altered));
            continue;
        }
        let mut writer = writer(&log).await.unwrap();
        writer.append([fact("more")]).await.unwrap();
        let head = audit::verify(&*log, "audit", None).await.unwrap();
        assert_eq!(&head, writer.head());
        let mut lines = Vec::new();
        audit::export(&*log, "audit", &mut lines).await.unwrap();
        assert_eq!(audit::verify_lines(&lines[..], Some(&head)).unwrap(), head);
        let [old, _] = &audit::entries(&*log, "audit", 1, 9).await.unwrap()[..] else {
            panic!("there are two");
        };
        assert_eq!((&*old.actor, &*old.hash), ("ada", hash.as_str()));
        let omitted = &old.after.as_ref().unwrap()["omitted_bytes"];
        assert_eq!(*omitted, json!(deep.len()));
    }
}

#[tokio::test]
async fn a_head_that_was_kept_elsewhere_shows_a_chain_that_was_made_anew() {
    let made = async |actions: &[&str]| {
        let log = Arc::new(MemoryEventLog::new());
        let mut writer = writer(&log).await.unwrap();
        writer
            .append(actions.iter().map(|action| fact(action)))
            .await
            .unwrap();
        (log, writer.head().clone())
    };
    let (log, kept) = made(&["a", "b"]).await;
    audit::verify(&*log, "audit", Some(&kept)).await.unwrap();
    let fault = async |actions: &[&str]| {
        let (log, _) = made(actions).await;
        match audit::verify(&*log, "audit", Some(&kept)).await {
            Err(AuditError::Tampered(fault)) => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        fault(&["a", "x", "c"]).await,
        AuditFault::Rewritten { number: 2 }
    );
    assert_eq!(fault(&["a"]).await, AuditFault::Missing { number: 2 });
}

/// A trail of so many entries, as lines.
fn exported(count: usize) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it starts").block_on(async {
        let log = Arc::new(MemoryEventLog::new());
        let mut writer = writer(&log).await.expect("it opens");
        let facts = (0..count).map(|count| AuditFacts {
            after: Some(json!({ "count": count, "price": 0.1 + count as f64 })),
            ..fact("count")
        });
        writer.append(facts).await.expect("there is room");
        let mut lines = Vec::new();
        audit::export(&*log, "audit", &mut lines)
            .await
            .expect("it is read");
        lines
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    })
}

fn fault(lines: &[Vec<u8>]) -> Result<AuditHead, AuditFault> {
    match audit::verify_lines(&*lines.concat(), None) {
        Ok(head) => Ok(head),
        Err(AuditError::Tampered(fault)) => Err(fault),
        Err(error) => panic!("{error}"),
    }
}

/// Any value of JSON, nested so deep, and sometimes long.
fn any_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<f64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
    ];
    let text = (
        any::<String>(),
        prop_oneof![19 => Just(1), 1 => Just(50_000_usize)],
    );
    let text = text.prop_map(|(text, times)| text.repeat(times / (text.len() + 1) + 1));
    let names = prop::collection::btree_map(any::<String>(), number.clone(), 0..3);
    let value = prop_oneof![
        Just(Value::Null),
        number,
        text.prop_map(Value::from),
        names.prop_map(Value::from_iter),
    ];
    (
        value,
        prop_oneof![3 => 0..3_usize, 1 => 120..135_usize, 1 => Just(500_usize)],
    )
        .prop_map(|(value, depth)| {
            (0..depth).fold(value, |value, count| match count % 2 {
                0 => json!({ "in": value }),
                _ => json!([value, count]),
            })
        })
}

fn any_facts() -> impl Strategy<Value = AuditFacts> {
    let time = prop_oneof![
        Just(None),
        Just(Some(Timestamp::MIN)),
        Just(Some(Timestamp::MAX)),
    ];
    let text = prop_oneof![
        29 => any::<String>(),
        1 => any::<char>().prop_map(|char| char.to_string().repeat(70_000)),
    ];
    let texts = prop::collection::vec(text, 6);
    let values = prop::collection::vec(prop::option::of(any_value()), 3);
    (time, texts, values).prop_map(|(at, texts, values)| {
        let (mut texts, mut values) = (texts.into_iter(), values.into_iter());
        let mut text = || texts.next().unwrap_or_default();
        let mut value = || values.next().flatten();
        AuditFacts {
            at,
            topic: text(),
            actor: text(),
            action: text(),
            subject: text(),
            before: value(),
            after: value(),
            event: value(),
            correlation: Some(text()),
            causation: Some(text()),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_found_whole(facts in prop::collection::vec(any_facts(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let log = Arc::new(MemoryEventLog::new());
            for facts in facts {
                writer(&log).await.unwrap().append([facts]).await.unwrap();
            }
            let head = audit::verify(&*log, "audit", None).await.unwrap();
            let mut lines = Vec::new();
            audit::export(&*log, "audit", &mut lines).await.unwrap();
            assert_eq!(audit::verify_lines(&lines[..], None).unwrap(), head);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_single_change_removal_move_or_repetition_is_found_and_named(
        count in 2_usize..12, at in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let whole = exported(count);
        prop_assert_eq!(whole.len(), count + 1);
        prop_assert_eq!(fault(&whole).unwrap().entries, count as u64);
        let at = at.index(count);
        let number = at as u64 + 1;

        let mut changed = whole.clone();
        let place = byte.index(changed[at].len() - 1);
        changed[at][place] ^= flip;
        prop_assert_eq!(fault(&changed), Err(AuditFault::Altered { number }));

        let mut removed = whole.clone();
        removed.remove(at);
        prop_assert_eq!(fault(&removed), Err(AuditFault::Missing { number }));

        let mut swapped = whole.clone();
        let other = to.index(count);
        swapped.swap(at, other);
        if at != other {
            let (first, last) = (at.min(other) as u64 + 1, at.max(other) as u64 + 1);
            let out_of_order = AuditFault::OutOfOrder { number: first, place: last };
            prop_assert_eq!(fault(&swapped), Err(out_of_order));
        }

        let mut repeated = whole.clone();
        repeated.insert(at + 1, whole[at].clone());
        let place = number + 1;
        prop_assert_eq!(fault(&repeated), Err(AuditFault::Repeated { number, place }));

        let entries = count as u64;
        let mut cut = whole.clone();
        cut.pop();
        prop_assert_eq!(fault(&cut), Err(AuditFault::Cut { entries }));
        let mut added = whole.clone();
        added.push(whole[at].clone());
        prop_assert_eq!(fault(&added), Err(AuditFault::Added { entries }));
    }
}

#[test]
fn an_entry_that_was_rewritten_with_its_hash_is_named() {
    let mut lines = exported(4);
    let line = String::from_utf8(lines[1].clone()).unwrap();
    let content = format!("{{{}", &line[75..]).replace("\"count\":1,", "\"count\":7,");
    let hash = blake3::hash(content.trim_end().as_bytes());
    lines[1] = format!("{{\"hash\":\"{hash}\",{}", &content[1..]).into_bytes();
    assert_eq!(fault(&lines), Err(AuditFault::Rewritten { number: 2 }));
}
