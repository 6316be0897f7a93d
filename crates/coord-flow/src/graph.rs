//! All flows of a choreographer, to be drawn: as text, as Mermaid, as DOT.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter, Write as _};

use coord_bus::mermaid_label;
use serde::Serialize;

use crate::{FlowReport, FlowState};

/// All flows of a choreographer, and how much goes through them:
/// [`EventChoreographer::graph`](crate::EventChoreographer::graph).
///
/// As text ([`Display`]) it is a line for each flow, in ASCII but for names: one that was not
/// [`named`](crate::EventFlow::named) has a `→`. In the other forms topics are nodes and flows are
/// arrows; where events became dead letters there is a dashed one. Which of several sources these came
/// from is not counted: a dashed arrow leaves each, with the number of all.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use coord_bus::{LocalBus, Topic};
/// # use coord_flow::{EventChoreographer, EventFlow};
/// # const USER_INPUT: Topic<String> = Topic::new("user-input");
/// # const COMMANDS: Topic<String> = Topic::new("commands");
/// # const LOG: Topic<String> = Topic::new("log");
/// # let choreographer = EventChoreographer::new(Arc::new(LocalBus::new()))?;
/// choreographer.add_event_flow(EventFlow::from(&USER_INPUT).to(&COMMANDS).named("parse"))?;
/// choreographer.add_event_flow(EventFlow::from(&COMMANDS).to(&LOG).named("record"))?;
/// choreographer.pause_event_flow("record")?;
///
/// let text = "
/// 2 flows between 3 topics
///   parse   user-input -> commands  0.0/s
///   record  commands -> log         0.0/s  paused
/// ";
/// assert_eq!(choreographer.graph().to_string(), text.trim_start());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FlowGraph {
    /// The flows, by name.
    pub flows: Vec<GraphFlow>,
}

/// A flow in a [`FlowGraph`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GraphFlow {
    /// What it has done.
    #[serde(flatten)]
    pub report: FlowReport,
    /// What it published, each second: since it was added, or between two graphs
    /// ([`FlowGraph::since`]).
    pub rate: f64,
}

impl GraphFlow {
    /// What it published in this time, each second.
    fn between(report: FlowReport, before: Option<&FlowReport>) -> Self {
        let (mut published, mut time) = (report.stats.published, report.age);
        if let Some(before) = before {
            published = published.saturating_sub(before.stats.published);
            time = time.saturating_sub(before.age);
        }
        let rate = match time.is_zero() {
            true => 0.0,
            false => published as f64 / time.as_secs_f64(),
        };
        Self { report, rate }
    }

    /// What is to be seen at once: how much goes through it, and whether something is not as it
    /// should be.
    fn facts(&self) -> Vec<String> {
        let mut facts = vec![format!("{:.1}/s", self.rate)];
        if self.report.state != FlowState::Running {
            facts.push(self.report.state.to_string());
        }
        if self.report.left > 0 {
            facts.push(format!("{} left", self.report.left));
        }
        if self.report.stats.failed > 0 {
            facts.push(format!("{} failed", self.report.stats.failed));
        }
        if self.report.stats.lost > 0 {
            facts.push(format!("{} lost", self.report.stats.lost));
        }
        facts
    }

    fn label(&self) -> String {
        format!("{}, {}", self.report.name, self.facts().join(", "))
    }
}

impl FlowGraph {
    pub(crate) fn of(flows: Vec<FlowReport>) -> Self {
        let flows = flows.into_iter();
        Self {
            flows: flows.map(|flow| GraphFlow::between(flow, None)).collect(),
        }
    }

    /// The same, with what was published each second since an earlier graph. A flow that was not
    /// there then, or another of its name, keeps its rate.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let flows = self.flows.iter().map(|flow| {
            let mut before = earlier.flows.iter().map(|before| &before.report);
            let before = before
                .find(|before| before.name == flow.report.name && before.age <= flow.report.age);
            GraphFlow::between(flow.report.clone(), before)
        });
        Self {
            flows: flows.collect(),
        }
    }

    /// As a [Mermaid](https://mermaid.js.org) flowchart.
    pub fn to_mermaid(&self) -> String {
        let topics = self.topics();
        let mut chart = String::from("flowchart LR\n");
        for (place, topic) in topics.iter().enumerate() {
            // Into a string nothing can fail.
            let _ = writeln!(chart, "    t{place}([\"{}\"])", mermaid_label(topic));
        }
        let place = |name: &str| topics.iter().position(|topic| *topic == name);
        for Arrow {
            from,
            to,
            text,
            dead,
        } in self.arrows()
        {
            let (Some(from), Some(to)) = (place(from), place(to)) else {
                continue;
            };
            let line = if dead { "-.->" } else { "-->" };
            let _ = writeln!(
                chart,
                "    t{from} {line}|\"{}\"| t{to}",
                mermaid_label(&text)
            );
        }
        chart
    }

    /// In the language of [Graphviz](https://graphviz.org).
    pub fn to_dot(&self) -> String {
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut dot = String::from("digraph flows {\n    rankdir=LR\n    node [shape=box]\n");
        for topic in self.topics() {
            let _ = writeln!(dot, "    {}", quoted(topic));
        }
        for Arrow {
            from,
            to,
            text,
            dead,
        } in self.arrows()
        {
            let style = if dead { " style=dashed" } else { "" };
            let (from, to, text) = (quoted(from), quoted(to), quoted(&text));
            let _ = writeln!(dot, "    {from} -> {to} [label={text}{style}]");
        }
        dot.push_str("}\n");
        dot
    }

    /// All topics that something flows from or to, by name.
    fn topics(&self) -> BTreeSet<&str> {
        let arrows = self.arrows().into_iter();
        arrows.flat_map(|arrow| [arrow.from, arrow.to]).collect()
    }

    fn arrows(&self) -> Vec<Arrow<'_>> {
        let mut arrows = Vec::new();
        for flow in &self.flows {
            let report = &flow.report;
            for from in &report.from {
                arrows.extend(report.to.iter().map(|to| Arrow {
                    from,
                    to,
                    text: flow.label(),
                    dead: false,
                }));
            }
            if report.stats.dead > 0 {
                let pairs = report.from.iter().zip(&report.dead_letters);
                arrows.extend(pairs.map(|(from, to)| Arrow {
                    from,
                    to,
                    text: format!("{}, {} dead", report.name, report.stats.dead),
                    dead: true,
                }));
            }
        }
        arrows
    }
}

/// From one topic to another.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    text: String,
    /// Whether dead letters go there.
    dead: bool,
}

impl Display for FlowGraph {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        writeln!(
            formatter,
            "{} between {}",
            count(self.flows.len(), "flow"),
            count(self.topics().len(), "topic"),
        )?;
        let ways = self.flows.iter().map(|flow| {
            let (from, to) = (flow.report.from.join(" + "), flow.report.to.join(" + "));
            format!("{from} -> {to}")
        });
        let ways: Vec<_> = ways.collect();
        let width = |texts: &mut dyn Iterator<Item = &str>| {
            let widths = texts.map(|text| text.chars().count());
            widths.max().unwrap_or(0)
        };
        let name = width(&mut self.flows.iter().map(|flow| flow.report.name.as_str()));
        let way = width(&mut ways.iter().map(String::as_str));
        for (flow, text) in self.flows.iter().zip(&ways) {
            let facts = flow.facts().join("  ");
            writeln!(
                formatter,
                "  {:name$}  {text:way$}  {facts}",
                flow.report.name
            )?;
        }
        Ok(())
    }
}
