//! Where needs go round in circles.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// One step of each group of steps that all wait for each other: the earliest of the group. The
/// earliest group comes first.
pub(super) fn starts(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut graph = DiGraph::<(), ()>::with_capacity(needs.len(), 0);
    for _ in needs {
        graph.add_node(());
    }
    for (step, needs) in needs.iter().enumerate() {
        for &need in needs {
            graph.add_edge(NodeIndex::new(step), NodeIndex::new(need), ());
        }
    }
    // Not Tarjan's: petgraph's is recursive, and a long chain of steps would overflow the stack.
    let mut starts: Vec<usize> = kosaraju_scc(&graph)
        .into_iter()
        .filter_map(|group| {
            let first = group.iter().map(|node| node.index()).min()?;
            let circular = group.len() > 1 || needs[first].contains(&first);
            circular.then_some(first)
        })
        .collect();
    starts.sort_unstable();
    starts
}

/// The shortest way from `start` along needs back to `start`, which is named once, first. Empty
/// if there is none.
pub(super) fn shortest(needs: &[Vec<usize>], start: usize) -> Vec<usize> {
    let mut reached_from = vec![None; needs.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(step) = queue.pop_front() {
        for &need in &needs[step] {
            if need == start {
                return path(&reached_from, start, step);
            }
            if reached_from[need].is_none() {
                reached_from[need] = Some(step);
                queue.push_back(need);
            }
        }
    }
    Vec::new()
}

fn path(reached_from: &[Option<usize>], start: usize, end: usize) -> Vec<usize> {
    let back = std::iter::successors(Some(end), |&step| reached_from[step]);
    let mut path: Vec<usize> = back.take_while(|&step| step != start).collect();
    path.push(start);
    path.reverse();
    path
}
