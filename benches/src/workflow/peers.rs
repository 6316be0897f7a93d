//! The same graphs in other crates. To build a graph is not counted, with nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagrs::{
    Action, Content, DefaultNode, EnvVar, InChannels, Node, NodeTable, OutChannels, Output,
};
use dagx::{DagRunner, Task, TaskHandle, task};

use super::shape::{Shape, work};

pub(crate) async fn async_dag(shape: &Shape) -> (Duration, u64) {
    let mut graph = async_dag::Graph::new();
    let mut nodes = Vec::with_capacity(shape.steps());
    for needs in &shape.needs {
        let node = match needs[..] {
            [] => graph.add_task(|| async { work(&[]) }),
            [need] => {
                let node = graph.add_task(|input: u64| async move { work(&[input]) });
                graph.update_dependency(nodes[need], node, 0).unwrap();
                node
            }
            [one, other, ..] => {
                let sum = |one: u64, other: u64| async move { work(&[one, other]) };
                let node = graph.add_task(sum);
                graph.update_dependency(nodes[one], node, 0).unwrap();
                graph.update_dependency(nodes[other], node, 1).unwrap();
                node
            }
        };
        nodes.push(node);
    }
    let start = Instant::now();
    graph.run().await;
    let elapsed = start.elapsed();
    (elapsed, graph.get_value(nodes[nodes.len() - 1]).unwrap())
}

struct Source;

#[task]
impl Source {
    async fn run(&self) -> u64 {
        work(&[])
    }
}

struct One;

#[task]
impl One {
    async fn run(input: &u64) -> u64 {
        work(&[*input])
    }
}

struct Two;

#[task]
impl Two {
    async fn run(one: &u64, other: &u64) -> u64 {
        work(&[*one, *other])
    }
}

pub(crate) async fn dagx(shape: &Shape) -> (Duration, u64) {
    let dag = DagRunner::new();
    let mut handles: Vec<TaskHandle<u64>> = Vec::with_capacity(shape.steps());
    for needs in &shape.needs {
        let handle = match needs[..] {
            [] => (&dag.add_task(Source)).into(),
            [need] => dag.add_task(One).depends_on(handles[need]),
            [one, other, ..] => dag
                .add_task(Two)
                .depends_on((&handles[one], &handles[other])),
        };
        handles.push(handle);
    }
    let start = Instant::now();
    let spawn = |future| {
        tokio::spawn(future);
    };
    dag.run(spawn).await.unwrap();
    let elapsed = start.elapsed();
    (elapsed, dag.get(handles[handles.len() - 1]).unwrap())
}

struct Sum;

#[async_trait]
impl Action for Sum {
    async fn run(
        &self,
        inputs: &mut InChannels,
        outputs: &mut OutChannels,
        _: Arc<EnvVar>,
    ) -> Output {
        let input = |content: Result<Content, _>| match content {
            Ok(content) => *content.into_inner::<u64>().unwrap(),
            Err(_) => 0,
        };
        let sum = work(&inputs.map(input).await);
        outputs.broadcast(Content::new(sum)).await;
        Output::Out(Some(Content::new(sum)))
    }
}

pub(crate) async fn dagrs(shape: &Shape) -> (Duration, u64) {
    let mut table = NodeTable::new();
    let mut graph = dagrs::Graph::new();
    let mut ids = Vec::with_capacity(shape.steps());
    for step in 0..shape.steps() {
        let node = DefaultNode::with_action(format!("s{step}"), Sum, &mut table);
        ids.push(node.id());
        graph.add_node(node).unwrap();
    }
    for (step, needed_by) in shape.needed_by().into_iter().enumerate() {
        if !needed_by.is_empty() {
            let needed_by: Vec<_> = needed_by.into_iter().map(|next| ids[next]).collect();
            graph.add_edge(ids[step], needed_by).unwrap();
        }
    }
    let start = Instant::now();
    graph.async_start().await.unwrap();
    let elapsed = start.elapsed();
    let results = graph.get_results::<u64>();
    let last = results[&ids[ids.len() - 1]].clone().unwrap();
    (elapsed, *last)
}
