//! Whether two texts are the same JSON: an input may be a map, whose order differs each time.

use std::collections::BTreeMap;

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
        is_same(&json(one), &json(other))
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
