//! What needs what in a workflow, to be drawn: as text, as Mermaid, as DOT.

mod stages;
mod state;

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::Workflow;
use crate::plan::PlannedStep;
use crate::took::Took;
use crate::view::seconds;
use state::Colours;
pub use state::GraphState;

/// The steps of a workflow and what each of them needs.
///
/// As text ([`Display`]) it is plain ASCII: a line for each step, in stages; a step is in the first
/// stage in which all that it needs is over. In the other forms, what is only one of those that a step
/// needs any of has a dashed line to it.
///
/// ```
/// # use coord_workflow::{Spec, StepSpec, Registry};
/// # let registry = Registry::new().handler("work", async |_| Ok(serde_json::Value::Null));
/// let spec = Spec::new("release")
///     .step(StepSpec::new("fetch", "work"))
///     .step(StepSpec::new("lint", "work").optional())
///     .step(StepSpec::new("build", "work").needs(["fetch"]))
///     .step(StepSpec::new("deploy", "work").needs(["build", "lint"]));
/// let graph = registry.workflow(spec)?.graph();
///
/// let text = "
/// release: 4 steps in 3 stages
///   1  fetch
///      lint (optional)
///   2  build            after fetch
///   3  deploy           after lint, build
/// ";
/// assert_eq!(graph.to_string(), text.trim_start());
/// assert!(graph.to_dot().contains(r#""build" -> "deploy""#));
/// # Ok::<(), coord_workflow::Faults>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Graph {
    /// What the workflow is called.
    pub name: String,
    /// Its steps, in its own order.
    pub steps: Vec<GraphStep>,
}

/// One step of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphStep {
    /// Its id.
    pub id: String,
    /// The steps that are over before it begins, by their places in [`Graph::steps`].
    pub needs: Vec<usize>,
    /// The steps of which one completes before it begins, by their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<usize>,
    /// What is special about it, in a word or two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it, in the graph of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<GraphState>,
    /// How long it took, in the graph of a run, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub duration: Option<Duration>,
    /// How many attempts were made, in the graph of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

impl GraphStep {
    /// A step that needs nothing, and of which nothing is to be said.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            needs: Vec::new(),
            needs_any: Vec::new(),
            note: None,
            state: None,
            duration: None,
            attempts: None,
        }
    }

    fn planned(planned: &PlannedStep) -> Self {
        let step = Self::new(&*planned.id)
            .needs(planned.needs.iter().copied())
            .needs_any(planned.needs_any.iter().copied());
        let optional = planned.optional.then(|| "optional".to_owned());
        let shape = planned.shape.as_ref().map(ToString::to_string);
        let notes: Vec<String> = optional.into_iter().chain(shape).collect();
        match notes.is_empty() {
            true => step,
            false => step.note(notes.join(", ")),
        }
    }

    /// With the places of what it needs.
    #[must_use]
    pub fn needs(mut self, places: impl IntoIterator<Item = usize>) -> Self {
        self.needs.extend(places);
        self
    }

    /// With the places of what it needs any of.
    #[must_use]
    pub fn needs_any(mut self, places: impl IntoIterator<Item = usize>) -> Self {
        self.needs_any.extend(places);
        self
    }

    /// With a word or two about it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// With what came of it.
    #[must_use]
    pub fn state(mut self, state: GraphState) -> Self {
        self.state = Some(state);
        self
    }

    /// With how long it took.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// With how many attempts were made, which is told where it was more than one.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Its id, and what there is to say of it.
    fn label(&self) -> String {
        let took = self.duration.map(|duration| Took(duration).to_string());
        let attempts = self.attempts.filter(|attempts| *attempts > 1);
        let attempts = attempts.map(|attempts| format!("{attempts} attempts"));
        let notes: Vec<String> = [self.note.clone(), took, attempts]
            .into_iter()
            .flatten()
            .collect();
        match notes.is_empty() {
            true => self.id.clone(),
            false => format!("{} ({})", self.id, notes.join(", ")),
        }
    }

    /// The label, with the state in a word: for where there are no colours.
    fn marked_label(&self) -> String {
        match self.state {
            Some(state) => format!("{} [{}]", self.label(), state.name()),
            None => self.label(),
        }
    }
}

impl<I, K> Workflow<I, K> {
    /// What needs what in it.
    pub fn graph(&self) -> Graph {
        let steps = self.plan.steps.iter().map(GraphStep::planned);
        Graph::new(self.name(), steps.collect())
    }
}

impl Graph {
    /// A graph of these steps. A need that is no step's place, or that closes a cycle, is drawn
    /// where it can be, and waits for nothing.
    pub fn new(name: impl Into<String>, steps: Vec<GraphStep>) -> Self {
        Self {
            name: name.into(),
            steps,
        }
    }

    /// The places of the steps in stages: a step is in the first stage after all that it needs, so
    /// those of one could run at the same time, if all took as long.
    pub fn stages(&self) -> Vec<Vec<usize>> {
        stages::of(&self.steps)
    }

    /// As a [Mermaid](https://mermaid.js.org) flowchart.
    pub fn to_mermaid(&self) -> String {
        let mut chart = String::from("flowchart LR\n");
        for (place, step) in self.steps.iter().enumerate() {
            let label = step.label().replace('"', "#quot;");
            let class = step.state.map(|state| format!(":::{}", state.class()));
            let class = class.unwrap_or_default();
            // Into a string nothing can fail.
            let _ = writeln!(chart, "    s{place}[\"{label}\"]{class}");
        }
        for Arrow { from, to, any } in self.arrows() {
            let line = if any { "-.->" } else { "-->" };
            let _ = writeln!(chart, "    s{from} {line} s{to}");
        }
        for state in self.states() {
            let (name, Colours { fill, line }) = (state.class(), state.colours());
            let _ = writeln!(
                chart,
                "    classDef {name} fill:{fill},stroke:{line},color:#000"
            );
        }
        chart
    }

    /// In the language of [Graphviz](https://graphviz.org).
    pub fn to_dot(&self) -> String {
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut dot = format!("digraph {} {{\n", quoted(&self.name));
        dot.push_str("    rankdir=LR\n    node [shape=box]\n");
        for step in &self.steps {
            let id = quoted(&step.id);
            let label = Some(step.label()).filter(|label| *label != step.id);
            let label = label.map(|label| format!("label={}", quoted(&label)));
            let colours = step.state.map(|state| {
                let Colours { fill, line } = state.colours();
                format!("style=filled fillcolor=\"{fill}\" color=\"{line}\"")
            });
            let attributes: Vec<String> = label.into_iter().chain(colours).collect();
            let _ = match attributes.is_empty() {
                true => writeln!(dot, "    {id}"),
                false => writeln!(dot, "    {id} [{}]", attributes.join(" ")),
            };
        }
        for Arrow { from, to, any } in self.arrows() {
            let (from, to) = (&self.steps[from].id, &self.steps[to].id);
            let style = if any { " [style=dashed]" } else { "" };
            let _ = writeln!(dot, "    {} -> {}{style}", quoted(from), quoted(to));
        }
        dot.push_str("}\n");
        dot
    }

    /// The states that occur.
    fn states(&self) -> BTreeSet<GraphState> {
        self.steps.iter().filter_map(|step| step.state).collect()
    }

    /// From what is needed to what needs it.
    fn arrows(&self) -> impl Iterator<Item = Arrow> {
        let steps = self.steps.iter().enumerate();
        let arrows = steps.flat_map(|(to, step)| {
            let arrow = move |any| move |&from: &usize| Arrow { from, to, any };
            let all = step.needs.iter().map(arrow(false));
            all.chain(step.needs_any.iter().map(arrow(true)))
        });
        arrows.filter(|arrow| arrow.from < self.steps.len())
    }

    /// What a step comes after, in words.
    fn after(&self, step: &GraphStep) -> String {
        let ids = |places: &[usize]| {
            let steps = places.iter().filter_map(|place| self.steps.get(*place));
            let ids: Vec<&str> = steps.map(|step| step.id.as_str()).collect();
            ids.join(", ")
        };
        let all = ids(&step.needs);
        match ids(&step.needs_any) {
            any if any.is_empty() => all,
            any if all.is_empty() => format!("any of {any}"),
            any => format!("{all}, and any of {any}"),
        }
    }
}

/// Places of two steps.
struct Arrow {
    from: usize,
    to: usize,
    /// Whether the one is only among those that the other needs any of.
    any: bool,
}

impl Display for Graph {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let stages = stages::of(&self.steps);
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        writeln!(
            formatter,
            "{}: {} in {}",
            self.name,
            count(self.steps.len(), "step"),
            count(stages.len(), "stage"),
        )?;
        let labels = self.steps.iter().map(GraphStep::marked_label);
        let labels = labels.map(|label| label.chars().count());
        let width = labels.max().unwrap_or(0);
        let digits = stages.len().to_string().len();
        for (stage, places) in stages.iter().enumerate() {
            for (line, &place) in places.iter().enumerate() {
                let number = match line {
                    0 => (stage + 1).to_string(),
                    _ => String::new(),
                };
                let step = &self.steps[place];
                let label = step.marked_label();
                let line = match self.after(step) {
                    after if after.is_empty() => format!("  {number:digits$}  {label}"),
                    after => format!("  {number:digits$}  {label:width$}  after {after}"),
                };
                writeln!(formatter, "{line}")?;
            }
        }
        Ok(())
    }
}
