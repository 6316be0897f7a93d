//! Which topic feeds which: the ways along the arrows of all flows.

use std::collections::{HashMap, VecDeque};

/// The topics on the shortest way from one to another, both included; one topic alone where they
/// are the same. An arrow is a flow: from where, to where.
pub(crate) fn way<'a>(
    arrows: impl Iterator<Item = (&'a str, &'a str)>,
    start: &'a str,
    goal: &'a str,
) -> Option<Vec<&'a str>> {
    let mut feeds: HashMap<&str, Vec<&str>> = HashMap::new();
    for (from, to) in arrows {
        feeds.entry(from).or_default().push(to);
    }
    // Of each topic that was reached, the one before it.
    let mut before = HashMap::from([(start, start)]);
    let mut reached = VecDeque::from([start]);
    while let Some(topic) = reached.pop_front() {
        if topic == goal {
            return Some(back(&before, start, goal));
        }
        for next in feeds.get(topic).into_iter().flatten() {
            if !before.contains_key(next) {
                before.insert(next, topic);
                reached.push_back(next);
            }
        }
    }
    None
}

fn back<'a>(before: &HashMap<&'a str, &'a str>, start: &str, goal: &'a str) -> Vec<&'a str> {
    let mut way = vec![goal];
    let mut topic = goal;
    while topic != start {
        topic = before[topic];
        way.push(topic);
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARROWS: [(&str, &str); 5] = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("x", "a")];

    #[test]
    fn a_way_follows_the_arrows_and_is_the_shortest() {
        let arrows = || ARROWS.into_iter();
        assert_eq!(way(arrows(), "a", "d"), Some(vec!["a", "c", "d"]));
        assert_eq!(way(arrows(), "x", "b"), Some(vec!["x", "a", "b"]));
        assert_eq!(way(arrows(), "d", "a"), None);
        assert_eq!(
            way(arrows(), "elsewhere", "elsewhere"),
            Some(vec!["elsewhere"])
        );
    }
}
