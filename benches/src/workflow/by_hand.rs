//! What one writes without an engine: counters of what is missing, and a set of futures or tasks. A
//! failure, a panic, a limit in time would be up to whoever writes it, and nothing is recorded; but for
//! one of them, which keeps two things that no engine can leave out.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

use super::shape::{Shape, work};

/// An output, of whatever type.
type Output = Arc<dyn Any + Send + Sync>;
type Running = Pin<Box<dyn Future<Output = (usize, Output)> + Send>>;
/// A step, of whatever kind: a function of the outputs so far.
type Begin = Box<dyn Fn(&[Option<Output>]) -> Running + Send>;

/// What of the graph is known before it runs, and what has come of it.
struct Graph {
    steps: Vec<Begin>,
    needed_by: Vec<Vec<usize>>,
    missing: Vec<usize>,
    outputs: Vec<Option<Output>>,
}

impl Graph {
    fn of(shape: &Shape) -> Self {
        let steps = shape.needs.iter().enumerate();
        Self {
            steps: steps.map(|(step, needs)| begin(step, needs)).collect(),
            needed_by: shape.needed_by(),
            missing: shape.needs.iter().map(Vec::len).collect(),
            outputs: vec![None; shape.steps()],
        }
    }

    fn first(&self) -> Vec<usize> {
        let steps = 0..self.missing.len();
        steps.filter(|step| self.missing[*step] == 0).collect()
    }

    fn step(&self, step: usize) -> Running {
        (self.steps[step])(&self.outputs)
    }

    /// A step is done: calls `begin` with those that waited only for it.
    fn done(&mut self, step: usize, output: Output, mut begin: impl FnMut(&Self, usize)) {
        self.outputs[step] = Some(output);
        for index in 0..self.needed_by[step].len() {
            let next = self.needed_by[step][index];
            self.missing[next] -= 1;
            if self.missing[next] == 0 {
                begin(self, next);
            }
        }
    }

    fn result(&self) -> u64 {
        *taken(&self.outputs, self.outputs.len() - 1)
    }
}

fn taken(outputs: &[Option<Output>], step: usize) -> Arc<u64> {
    let output = outputs[step].clone().expect("it is done");
    output.downcast().expect("it is a number")
}

fn begin(step: usize, needs: &[usize]) -> Begin {
    match *needs {
        [] => Box::new(move |_| Box::pin(async move { (step, Arc::new(work(&[])) as Output) })),
        [need] => Box::new(move |outputs| {
            let input = taken(outputs, need);
            Box::pin(async move { (step, Arc::new(work(&[*input])) as Output) })
        }),
        [one, other, ..] => Box::new(move |outputs| {
            let (one, other) = (taken(outputs, one), taken(outputs, other));
            Box::pin(async move { (step, Arc::new(work(&[*one, *other])) as Output) })
        }),
    }
}

pub(crate) async fn futures_unordered(shape: &Shape) -> (Duration, u64) {
    let mut graph = Graph::of(shape);
    let start = Instant::now();
    let mut running = FuturesUnordered::new();
    running.extend(graph.first().into_iter().map(|step| graph.step(step)));
    while let Some((step, output)) = running.next().await {
        graph.done(step, output, |graph, next| running.push(graph.step(next)));
    }
    (start.elapsed(), graph.result())
}

/// As [`futures_unordered`], and a panic fails its step alone, and when each step was done is written down: what
/// both cost at the least, a `catch_unwind` and a look at the clock a step.
pub(crate) async fn with_times_and_panics(shape: &Shape) -> (Duration, u64) {
    let mut graph = Graph::of(shape);
    let mut times = vec![Duration::ZERO; shape.steps()];
    let isolated = |graph: &Graph, step| {
        let running = AssertUnwindSafe(graph.step(step)).catch_unwind();
        running.map(move |done| done.map_err(|panic| (step, panic)))
    };
    let start = Instant::now();
    let mut running = FuturesUnordered::new();
    running.extend(graph.first().into_iter().map(|step| isolated(&graph, step)));
    while let Some(done) = running.next().await {
        let (step, output) = done.unwrap_or_else(|(step, _)| panic!("step {step} panicked"));
        times[step] = start.elapsed();
        graph.done(step, output, |graph, next| {
            running.push(isolated(graph, next));
        });
    }
    let elapsed = start.elapsed();
    assert!(times.iter().all(|time| *time <= elapsed));
    (elapsed, graph.result())
}

pub(crate) async fn join_set(shape: &Shape) -> (Duration, u64) {
    let mut graph = Graph::of(shape);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for step in graph.first() {
        running.spawn(graph.step(step));
    }
    while let Some(done) = running.join_next().await {
        let (step, output) = done.expect("no step panics");
        graph.done(step, output, |graph, next| {
            running.spawn(graph.step(next));
        });
    }
    (start.elapsed(), graph.result())
}
