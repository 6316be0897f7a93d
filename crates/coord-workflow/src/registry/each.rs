//! A handler that is called for each item of a list, or a workflow that is run for each.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::Value;

use super::Bound;
use super::child::Ran;
use crate::context::Start;
use crate::durable::{Codec, Item};
use crate::part_error::PartError;
use crate::plan::{Action, Output};
use crate::run::{self, ItemRuns};
use crate::shape::{DEFAULT_ITEM_CONCURRENCY, Shape};
use crate::spec::{ForEachSpec, Items};
use crate::{HandlerCall, StepError};

/// Where the items of a list come from, and how many are worked at at once.
pub(super) struct Each {
    items: Source,
    /// Where in it the list is.
    pointer: Option<String>,
    concurrency: NonZeroUsize,
}

enum Source {
    Step { place: usize, id: String },
    List(Arc<Value>),
}

impl Each {
    pub(super) fn new(spec: &ForEachSpec, ids: &[String]) -> Self {
        let items = match &spec.items {
            Items::List(list) => Source::List(Arc::new(Value::Array(list.clone()))),
            Items::Step(id) => Source::Step {
                // Validation has found it.
                place: ids.iter().position(|step| step == id).unwrap_or_default(),
                id: id.clone(),
            },
        };
        Self {
            items,
            pointer: spec.pointer.clone(),
            concurrency: spec.concurrency.unwrap_or(DEFAULT_ITEM_CONCURRENCY),
        }
    }

    /// The step that they come from, if they do.
    pub(super) fn from(&self) -> Option<usize> {
        match self.items {
            Source::Step { place, .. } => Some(place),
            Source::List(_) => None,
        }
    }

    /// Calls a handler for each.
    pub(super) fn action(self, bound: Bound) -> Action {
        let bound = Arc::new(bound);
        Box::new(move |start| {
            let list = match self.list(start)? {
                Ok(list) => list,
                Err(error) => return Some(Box::pin(std::future::ready(Err(error)))),
            };
            let items = run::Items::of(start, list.len(), self.concurrency);
            let bound = Arc::clone(&bound);
            let call = bound.prepared(start);
            Some(Box::pin(async move {
                let one = |context, item: usize| {
                    let done = (bound.handler)(HandlerCall {
                        context,
                        item: list.item(item),
                        ..call.clone()
                    });
                    async move { done.await.map(Item::output) }
                };
                Ok(join(&items.each(one).await?))
            }))
        })
    }

    /// Runs a workflow for each, which is started with the item.
    pub(super) fn runs(self, ran: Ran) -> Action {
        let ran = Arc::new(ran);
        Box::new(move |start| {
            let list = match self.list(start)? {
                Ok(list) => list,
                Err(error) => return Some(Box::pin(std::future::ready(Err(error)))),
            };
            let items = run::Items::of(start, list.len(), self.concurrency);
            let (runs, ran) = (ItemRuns::of(start, &ran.child), Arc::clone(&ran));
            Some(Box::pin(async move {
                let input =
                    |item: usize| ran.input(&list.item(item).unwrap_or_default().to_string());
                let output = |output: &Output| {
                    let output = output.downcast_ref::<Value>()?;
                    Some(Item::output(output.clone()))
                };
                Ok(join(&runs.each(&items, input, output).await?))
            }))
        })
    }

    /// The list. `None`: the output of the step that it comes from is missing.
    fn list(&self, start: &Start<'_>) -> Option<Result<List, StepError>> {
        let value: Arc<Value> = match &self.items {
            Source::List(list) => Arc::clone(list),
            Source::Step { place, .. } => start.output(*place)?.downcast().ok()?,
        };
        let pointer = self.pointer.clone();
        if at(&value, pointer.as_deref()).is_some() {
            return Some(Ok(List { value, pointer }));
        }
        let step = match &self.items {
            Source::Step { id, .. } => id.clone(),
            Source::List(_) => String::new(),
        };
        Some(Err(
            StepError::from(PartError::NotAList { step }).permanent()
        ))
    }
}

/// A list in a value.
struct List {
    value: Arc<Value>,
    pointer: Option<String>,
}

impl List {
    /// It, and where in each of it the item is.
    fn found(&self) -> (&[Value], Option<&str>) {
        at(&self.value, self.pointer.as_deref()).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.found().0.len()
    }

    fn item(&self, item: usize) -> Option<Value> {
        let (list, within) = self.found();
        list.get(item).map(|item| match within {
            Some(within) => item.pointer(within).cloned().unwrap_or_default(),
            None => item.clone(),
        })
    }
}

/// What such a step is made of, where it runs this workflow for each, or calls a handler.
pub(super) fn shape(workflow: Option<Box<str>>) -> Shape {
    Shape::ForEach {
        codec: Some(Codec::of_item::<Value>()),
        join,
        workflow,
    }
}

/// The output of the step, of those of its items.
fn join(items: &[Output]) -> Output {
    Arc::new(Value::Array(Item::all(items)))
}

/// The list at a place in a value, and where in each of it the item is, if it is not all of that.
fn at<'l>(value: &'l Value, pointer: Option<&'l str>) -> Option<(&'l [Value], Option<&'l str>)> {
    let within = pointer.and_then(|pointer| pointer.strip_prefix("/*"));
    let list = match (within, pointer) {
        (None, Some(pointer)) => value.pointer(pointer)?,
        _ => value,
    };
    Some((list.as_array()?, within))
}
