//! The schema for editors says of a file what is said when it is read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use miette::Diagnostic;
use serde_json::Value;

use super::super::each::EACH_KEYS;
use super::super::hooks::HOOK_KEYS;
use super::super::outputs::TAKEN_KEYS;
use super::super::params::{PARAM_KEYS, PROFILE_KEYS};
use super::super::root::FILE_KEYS;
use super::super::secrets::SECRET_KEYS;
use super::super::service::{LIVE_KEYS, READY_KEYS, RESTART_KEYS, SERVICE_KEYS, STOP_KEYS};
use super::super::step::{RETRY_KEYS, STEP_KEYS, UNDO_KEYS};
use super::FileFaults;
use crate::schema::SCHEMA;

/// Faults that a schema can see: those of one place, whatever stands elsewhere.
const SEEN: [&str; 21] = [
    "no_steps",
    "unknown_key",
    "wrong_type",
    "out_of_range",
    "empty",
    "name",
    "no_id",
    "no_action",
    "no_undo",
    "no_hook",
    "no_items",
    "two_actions",
    "backoff",
    "no_check",
    "two_checks",
    "live_log",
    "restart",
    "param_name",
    "output_name",
    "variable_name",
    "secret",
];

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).expect("the schema can be used")
});

/// Panics where the schema says otherwise than who read the file.
#[track_caller]
pub(super) fn agrees(text: &str, faults: Option<&FileFaults>) {
    // Hostile files are for who reads them, not for a checker of schemas.
    if text.len() > 10_000 {
        return;
    }
    // What is no TOML no editor can check.
    let Ok(value) = toml::from_str::<Value>(text) else {
        return;
    };
    let refused = VALIDATOR.validate(&value).err();
    let Some(faults) = faults else {
        assert!(
            refused.is_none(),
            "refused by the schema: {refused:?}\n{text}"
        );
        return;
    };
    let codes = faults.related().into_iter().flatten();
    let codes = codes.filter_map(|fault| Some(fault.code()?.to_string()));
    let codes: BTreeSet<_> = codes
        .map(|code| code.replace("coord::file::", ""))
        .collect();
    if SEEN.iter().any(|seen| codes.contains(*seen)) {
        assert!(
            refused.is_some(),
            "not seen by the schema: {codes:?}\n{text}"
        );
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let tables = [
        ("", FILE_KEYS),
        ("/$defs/step", STEP_KEYS),
        ("/$defs/secret", SECRET_KEYS),
        ("/$defs/retry", RETRY_KEYS),
        ("/$defs/undo", UNDO_KEYS),
        ("/$defs/hooks", HOOK_KEYS),
        ("/$defs/each", EACH_KEYS),
        ("/$defs/param", PARAM_KEYS),
        ("/$defs/profile", PROFILE_KEYS),
        ("/$defs/taken", TAKEN_KEYS),
        ("/$defs/service", SERVICE_KEYS),
        ("/$defs/ready", READY_KEYS),
        ("/$defs/live", LIVE_KEYS),
        ("/$defs/restart", RESTART_KEYS),
        ("/$defs/stop", STOP_KEYS),
    ];
    for (table, keys) in tables {
        let properties = schema.pointer(&format!("{table}/properties"));
        let there = properties.and_then(Value::as_object).expect(table);
        let there: BTreeSet<_> = there.keys().map(String::as_str).collect();
        // `live` is told of `log` only to say why it has none.
        let read = keys.known.iter().copied();
        let read: BTreeSet<_> = read
            .filter(|key| (table, *key) != ("/$defs/live", "log"))
            .collect();
        assert_eq!(there, read, "{table}");
    }
}
