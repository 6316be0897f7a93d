//! The manual of the workflow file is true.

use super::super::each::EACH_KEYS;
use super::super::hooks::HOOK_KEYS;
use super::super::include::INCLUDED_KEYS;
use super::super::outputs::TAKEN_KEYS;
use super::super::params::{PARAM_KEYS, PROFILE_KEYS};
use super::super::root::FILE_KEYS;
use super::super::secrets::SECRET_KEYS;
use super::super::service::{LIVE_KEYS, READY_KEYS, RESTART_KEYS, SERVICE_KEYS, STOP_KEYS};
use super::super::step::{RETRY_KEYS, STEP_KEYS, UNDO_KEYS};
use super::{told, valid};

const MANUAL: &str = include_str!("../../../../../docs/workflow-file.md");

/// The code blocks of the manual: language and text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = MANUAL.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// Editors remove spaces at the ends of lines.
fn trimmed(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

#[test]
fn the_examples_are_read_or_answered_as_the_manual_says() {
    let blocks = blocks();
    assert_eq!(blocks.len(), 11);
    for (index, (language, text)) in blocks.iter().enumerate() {
        match (*language, blocks.get(index + 1)) {
            ("toml", Some(("text", answer))) => assert_eq!(trimmed(&told(text)), trimmed(answer)),
            ("toml", _) if index == 0 => assert_eq!(valid(text).units.len(), 7),
            ("toml", _) if text.starts_with("include") => {
                assert!(told(text).contains("coord::file::include"));
            }
            ("toml", _) => assert!(!valid(text).units.is_empty()),
            _ => {}
        }
    }
}

#[test]
fn every_key_is_in_the_manual() {
    for keys in [
        FILE_KEYS,
        STEP_KEYS,
        RETRY_KEYS,
        UNDO_KEYS,
        HOOK_KEYS,
        INCLUDED_KEYS,
        EACH_KEYS,
        PARAM_KEYS,
        PROFILE_KEYS,
        TAKEN_KEYS,
        SERVICE_KEYS,
        READY_KEYS,
        LIVE_KEYS,
        RESTART_KEYS,
        STOP_KEYS,
        SECRET_KEYS,
    ] {
        for key in keys.known {
            // A row of a table begins with it, or with those that mean the same elsewhere.
            let rows = MANUAL.lines().filter(|line| line.starts_with("| `"));
            let mut first = rows.filter_map(|row| row.split('|').nth(1));
            let told = first.any(|cell| cell.contains(&format!("`{key}`")));
            assert!(told, "{key}");
        }
    }
}

#[test]
fn every_code_is_in_the_manual() {
    let faults = include_str!("../fault.rs");
    let codes = faults.split("code(coord::file::").skip(1);
    let codes: Vec<&str> = codes.filter_map(|code| code.split(')').next()).collect();
    assert!(codes.len() > 20);
    for code in codes {
        assert!(
            MANUAL.contains(&format!("\n| `coord::file::{code}` |")),
            "{code}"
        );
    }
}
