//! Whether two texts are the same JSON: an input may be a map, whose order differs each time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The same but for spaces and the order of keys. Numbers are compared as they are written, as those that are
/// large would be rounded otherwise.
pub(crate) fn is_same(one: &RawValue, other: &RawValue) -> bool {
    if one.get() == other.get() {
        return true;
    }
    match (of::<Object>(one), of::<Object>(other)) {
        (Some(one), Some(other)) => {
            let mut pairs = one.iter().zip(&other);
            return one.len() == other.len()
                && pairs.all(|((key, one), (same, other))| key == same && is_same(one, other));
        }
        (None, None) => {}
        _ => return false,
    }
    match (of::<Array>(one), of::<Array>(other)) {
        (Some(one), Some(other)) => {
            let mut pairs = one.iter().zip(&other);
            one.len() == other.len() && pairs.all(|(one, other)| is_same(one, other))
        }
        // Of one type, so the same text is written in the same way.
        _ => false,
    }
}

/// A few bytes that are the same of texts that are.
pub(crate) fn print(json: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(json, &mut hasher);
    hasher.finish()
}

fn write(json: &str, hasher: &mut DefaultHasher) {
    let has_keys = json.contains('{');
    if let Some(object) = serde_json::from_str::<Object>(json)
        .ok()
        .filter(|_| has_keys)
    {
        hasher.write(b"{");
        for (key, value) in &object {
            key.hash(hasher);
            write(value.get(), hasher);
        }
        return hasher.write(b"}");
    }
    if let Some(array) = serde_json::from_str::<Array>(json)
        .ok()
        .filter(|_| has_keys)
    {
        hasher.write(b"[");
        for value in &array {
            write(value.get(), hasher);
        }
        return hasher.write(b"]");
    }
    json.hash(hasher);
}

type Object = BTreeMap<String, Box<RawValue>>;
type Array = Vec<Box<RawValue>>;

fn of<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same_text(one: &str, other: &str) -> bool {
        let json = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let is_same = is_same(&json(one), &json(other));
        assert_eq!(print(one) == print(other), is_same, "{one} {other}");
        is_same
    }

    #[test]
    fn the_order_of_keys_says_nothing_and_that_of_lists_does() {
        let one = r#"{"a":[1,{"x":1,"y":2}],"b":null}"#;
        assert!(is_same_text(one, r#"{"b":null,"a":[1,{"y":2,"x":1}]}"#));
        assert!(!is_same_text(one, r#"{"a":[{"x":1,"y":2},1],"b":null}"#));
        assert!(!is_same_text(one, r#"{"a":[1,{"x":1,"y":2}]}"#));
        assert!(!is_same_text("[]", "{}"));
        assert!(!is_same_text("\"1\"", "1"));
    }

    #[test]
    fn large_numbers_that_differ_in_their_last_digit_are_not_the_same() {
        let (one, other) = (
            "340282366920938463463374607431768211454",
            "340282366920938463463374607431768211455",
        );
        assert!(!is_same_text(one, other));
        assert!(is_same_text(&format!("[{one}]"), &format!("[{one}]")));
    }
}
