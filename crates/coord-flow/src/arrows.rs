//! Which topic feeds which: the ways along the arrows of all flows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::course::Shape;

/// Of each topic those that it feeds.
pub(crate) type Arrows<'a> = HashMap<&'a str, Vec<&'a str>>;

/// Arrows from where, to where: a flow, or several.
pub(crate) fn arrows<'a>(arrows: impl Iterator<Item = (&'a str, &'a str)>) -> Arrows<'a> {
    let mut feeds = Arrows::new();
    for (from, to) in arrows {
        feeds.entry(from).or_default().push(to);
    }
    feeds
}

/// The topics on the shortest way from one to another, both included; one topic alone where they
/// are the same.
pub(crate) fn way<'a>(feeds: &Arrows<'a>, start: &'a str, goal: &'a str) -> Option<Vec<&'a str>> {
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

/// All topics that something comes to that is published to one, itself included.
pub(crate) fn reached<'a>(
    flows: &'a [Arc<Shape>],
    starts: impl Iterator<Item = &'a str>,
) -> HashSet<String> {
    let mut feeds: HashMap<&str, Vec<&Shape>> = HashMap::new();
    for flow in flows {
        for from in &flow.from {
            feeds.entry(from).or_default().push(flow);
        }
    }
    let mut open: Vec<&str> = starts.collect();
    let mut reached: HashSet<String> = open.iter().map(|start| (*start).to_owned()).collect();
    while let Some(topic) = open.pop() {
        // Looked at once: its flows feed the same topics, whatever they took.
        for flow in feeds.remove(topic).into_iter().flatten() {
            for to in flow.all_to() {
                if reached.insert(to.to_owned()) {
                    open.push(to);
                }
            }
        }
    }
    reached
}

/// Of each flow those that feed it, without those that it feeds in turn, directly or through others.
pub(crate) fn feeders(flows: &[Arc<Shape>]) -> Vec<Vec<usize>> {
    let rings = rings(flows);
    let mut publish: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, flow) in flows.iter().enumerate() {
        for to in flow.all_to() {
            publish.entry(to).or_default().push(number);
        }
    }
    let feeders = flows.iter().zip(&rings).map(|(flow, ring)| {
        let from = flow.from.iter();
        let feeders = from.filter_map(|from| publish.get(from.as_str())).flatten();
        let others = feeders.filter(|feeder| rings[**feeder] != *ring);
        others.copied().collect()
    });
    feeders.collect()
}

/// Which ring each flow is in: two are in the same one if what either publishes comes to the other.
/// Kosaraju's algorithm, over flows and topics, so that many flows of one topic cost no pairs.
fn rings(flows: &[Arc<Shape>]) -> Vec<usize> {
    let mut topics: HashMap<&str, usize> = HashMap::new();
    for name in flows.iter().flat_map(|flow| flow.all()) {
        let next = flows.len() + topics.len();
        topics.entry(name).or_insert(next);
    }
    let nodes = flows.len() + topics.len();
    let (mut after, mut before) = (vec![Vec::new(); nodes], vec![Vec::new(); nodes]);
    let mut arrow = |from: usize, to: usize| {
        after[from].push(to);
        before[to].push(from);
    };
    for (number, flow) in flows.iter().enumerate() {
        for from in &flow.from {
            arrow(topics[from.as_str()], number);
        }
        for to in flow.all_to() {
            arrow(number, topics[to]);
        }
    }
    let mut seen = vec![false; nodes];
    let mut left = Vec::new();
    for start in 0..nodes {
        walk(start, &after, &mut seen, &mut left);
    }
    let (mut ring, mut seen) = (vec![0; nodes], vec![false; nodes]);
    for start in left.into_iter().rev() {
        let mut members = Vec::new();
        walk(start, &before, &mut seen, &mut members);
        for member in members {
            ring[member] = start;
        }
    }
    ring.truncate(flows.len());
    ring
}

/// Goes everywhere that can be reached and has not been seen. In which order the places were left,
/// the deepest first.
fn walk(start: usize, arrows: &[Vec<usize>], seen: &mut [bool], left: &mut Vec<usize>) {
    if seen[start] {
        return;
    }
    seen[start] = true;
    let mut open = vec![(start, arrows[start].iter())];
    while let Some((place, rest)) = open.last_mut() {
        let Some(next) = rest.find(|next| !seen[**next]) else {
            left.push(*place);
            open.pop();
            continue;
        };
        seen[*next] = true;
        open.push((*next, arrows[*next].iter()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow((from, to): &(&str, &str)) -> Arc<Shape> {
        Arc::new(Shape {
            from: vec![(*from).to_owned()],
            to: vec![(*to).to_owned()],
            ..Shape::default()
        })
    }

    #[test]
    fn flows_of_a_ring_do_not_feed_each_other_and_all_before_it_feed_it() {
        let flows = [("x", "a"), ("a", "b"), ("b", "a"), ("b", "c"), ("q", "a")];
        let flows: Vec<_> = flows.iter().map(flow).collect();
        let mut feeders = feeders(&flows);
        feeders
            .iter_mut()
            .for_each(|feeders| feeders.sort_unstable());
        assert_eq!(feeders, [&[][..], &[0, 4], &[], &[1], &[]]);
    }

    #[test]
    fn what_is_reached_is_what_the_arrows_lead_to() {
        let flows: Vec<_> = ARROWS.iter().map(flow).collect();
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(reached(&flows, ["b"].into_iter()), all(&["b", "c", "d"]));
        assert_eq!(reached(&flows, ["d"].into_iter()), all(&["d"]));
    }

    const ARROWS: [(&str, &str); 5] = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("x", "a")];

    #[test]
    fn a_way_follows_the_arrows_and_is_the_shortest() {
        let feeds = arrows(ARROWS.into_iter());
        assert_eq!(way(&feeds, "a", "d"), Some(vec!["a", "c", "d"]));
        assert_eq!(way(&feeds, "x", "b"), Some(vec!["x", "a", "b"]));
        assert_eq!(way(&feeds, "d", "a"), None);
        assert_eq!(
            way(&feeds, "elsewhere", "elsewhere"),
            Some(vec!["elsewhere"])
        );
    }
}
