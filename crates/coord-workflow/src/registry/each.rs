//! A handler that is called for each item of a list.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::Value;

use super::Bound;
use crate::durable::{Codec, Item};
use crate::part_error::PartError;
use crate::plan::{Action, Output};
use crate::run;
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

    pub(super) fn action(self, bound: Bound) -> Action {
        let bound = Arc::new(bound);
        Box::new(move |start| {
            let list: Arc<Value> = match &self.items {
                Source::List(list) => Arc::clone(list),
                Source::Step { place, .. } => start.output(*place)?.downcast().ok()?,
            };
            let Some((found, _)) = at(&list, self.pointer.as_deref()) else {
                let step = match &self.items {
                    Source::Step { id, .. } => id.clone(),
                    Source::List(_) => String::new(),
                };
                let error = StepError::from(PartError::NotAList { step }).permanent();
                return Some(Box::pin(std::future::ready(Err(error))));
            };
            let items = run::Items::of(start, found.len(), self.concurrency);
            let (bound, pointer) = (Arc::clone(&bound), self.pointer.clone());
            let call = bound.prepared(start);
            Some(Box::pin(async move {
                let (list, within) = at(&list, pointer.as_deref()).unwrap_or_default();
                let one = |context, item: usize| {
                    let done = (bound.handler)(HandlerCall {
                        context,
                        item: list.get(item).map(|item| match within {
                            Some(within) => item.pointer(within).cloned().unwrap_or_default(),
                            None => item.clone(),
                        }),
                        ..call.clone()
                    });
                    async move { done.await.map(Item::output) }
                };
                Ok(join(&items.each(one).await?))
            }))
        })
    }
}

/// What such a step is made of.
pub(super) const SHAPE: Shape = Shape::ForEach {
    codec: Some(Codec::of_item::<Value>()),
    join,
};

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
