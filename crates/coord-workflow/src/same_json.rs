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
    let [one, other] = [one.get(), other.get()];
    match [one, other].map(|json| json.as_bytes().first()) {
        [Some(b'{'), Some(b'{')] => {
            let (Some(one), Some(other)) = (parsed::<Object>(one), parsed::<Object>(other)) else {
                return false;
            };
            let mut pairs = one.iter().zip(&other);
            one.len() == other.len()
                && pairs.all(|((key, one), (same, other))| key == same && is_same(one, other))
        }
        [Some(b'['), Some(b'[')] => {
            let (Some(one), Some(other)) = (parsed::<Array>(one), parsed::<Array>(other)) else {
                return false;
            };
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
    // What has no keys is written in one way.
    let has_keys = json.contains('{');
    match json.as_bytes().first() {
        Some(b'{') => {
            hasher.write(b"{");
            for (key, value) in parsed::<Object>(json).iter().flatten() {
                key.hash(hasher);
                write(value.get(), hasher);
            }
            hasher.write(b"}");
        }
        Some(b'[') if has_keys => {
            hasher.write(b"[");
            for value in parsed::<Array>(json).iter().flatten() {
                write(value.get(), hasher);
            }
            hasher.write(b"]");
        }
        _ => json.hash(hasher),
    }
}

type Object = BTreeMap<String, Box<RawValue>>;
type Array = Vec<Box<RawValue>>;

fn parsed<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
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
