//! The forms in which the steps and services are shown: in which order, and with what before them.

use coordination::workflow::{Graph, GraphStep};

use super::draw::cut_name;
use super::look::Look;
use crate::board::{Board, Row};

/// How deep a tree is drawn, in levels: what is deeper stands below each other.
const DEPTH_MAX: usize = 8;
/// The widest ids in a graph, so that what they come after stands beside them.
const GRAPH_ID_WIDTH_MAX: usize = 24;

/// In which form they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In the order of the file.
    List,
    /// Under what they wait for.
    Tree,
    /// In stages, with what they come after.
    Graph,
    /// As bars in time.
    Time,
}

/// A row where a form has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its place on the board.
    pub(super) place: usize,
    /// What stands before its name, or, in a graph, all that is said of it.
    pub(super) text: String,
}

impl Form {
    pub(super) fn next(self) -> Self {
        match self {
            Self::List => Self::Tree,
            Self::Tree => Self::Graph,
            Self::Graph => Self::Time,
            Self::Time => Self::List,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List => "steps and services",
            Self::Tree => "tree",
            Self::Graph => "graph",
            Self::Time => "time",
        }
    }

    /// The rows, in its order.
    pub(super) fn entries(self, board: &Board, look: Look) -> Vec<Entry> {
        match self {
            Self::List | Self::Time => {
                let text = String::new();
                let places = 0..board.rows.len();
                places
                    .map(|place| Entry {
                        place,
                        text: text.clone(),
                    })
                    .collect()
            }
            Self::Tree => tree(board, look),
            Self::Graph => graph(board, look),
        }
    }
}

/// Each row under that one of its needs that comes last: no row is there twice.
fn tree(board: &Board, look: Look) -> Vec<Entry> {
    let stages = as_graph(board, look).stages();
    let mut stage_of = vec![0; board.rows.len()];
    for (stage, places) in stages.iter().enumerate() {
        places.iter().for_each(|place| stage_of[*place] = stage);
    }
    let mut under = vec![Vec::new(); board.rows.len()];
    let mut roots = Vec::new();
    for (place, row) in board.rows.iter().enumerate() {
        match needs(row).max_by_key(|need| stage_of[*need]) {
            Some(need) => under[need].push(place),
            None => roots.push(place),
        }
    }
    let [goes_on, ends, past] = match look.unicode {
        true => ["├ ", "└ ", "│ "],
        false => ["|-", "`-", "| "],
    };
    let mut entries = Vec::new();
    // What is to come next last; with what stands before those that are under it.
    let mut next: Vec<(usize, String, String)> = Vec::new();
    let root = |place: &usize| (*place, String::new(), String::new());
    next.extend(roots.iter().rev().map(root));
    while let Some((place, text, before)) = next.pop() {
        entries.push(Entry { place, text });
        for (index, child) in under[place].iter().rev().enumerate() {
            let (mark, past) = match index {
                0 => (ends, "  "),
                _ => (goes_on, past),
            };
            let text = format!("{before}{mark}");
            let before = match before.chars().count() < 2 * (DEPTH_MAX - 1) {
                true => format!("{before}{past}"),
                false => before.clone(),
            };
            next.push((*child, text, before));
        }
    }
    entries
}

/// As `coord graph` draws it, with the state of each row.
fn graph(board: &Board, look: Look) -> Vec<Entry> {
    let graph = as_graph(board, look);
    let text = graph.to_string();
    // After the first line, which is about all of it, there is one for each step.
    let lines = text.lines().skip(1);
    let places = graph.stages().into_iter().flatten();
    let entries = places.zip(lines).map(|(place, line)| Entry {
        place,
        text: line.strip_prefix("  ").unwrap_or(line).to_owned(),
    });
    entries.collect()
}

fn as_graph(board: &Board, look: Look) -> Graph {
    let steps = board.rows.iter().map(|row| {
        GraphStep::new(cut_name(&row.id, GRAPH_ID_WIDTH_MAX, look))
            .needs(row.needs.iter().copied())
            .needs_any(row.needs_any.iter().copied())
            .note(row.state.name())
    });
    Graph::new(&board.workflow, steps.collect())
}

fn needs(row: &Row) -> impl Iterator<Item = usize> {
    row.needs.iter().chain(&row.needs_any).copied()
}
