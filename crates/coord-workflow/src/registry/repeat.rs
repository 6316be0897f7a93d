//! A handler that is called in rounds, until another says that it is done.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use super::Bound;
use crate::context::Start;
use crate::error::AttemptError;
use crate::plan::{Action, Output, StepFuture};
use crate::run::Rounds;
use crate::{HandlerCall, Repeat};

pub(super) fn action(work: Bound, until: Bound, repeat: Repeat) -> Action {
    let bound = Arc::new((work, until));
    Box::new(move |start| {
        let (rounds, bound) = (Rounds::of(start, repeat), Arc::clone(&bound));
        Some(Box::pin(async move {
            let begin = |start: &Start<'_>, last: Option<Output>| {
                let (work, until) = &*bound;
                let work_of_round = HandlerCall {
                    last: last.and_then(|last| last.downcast().ok()),
                    ..work.prepared(start)
                };
                let asked = until.prepared(start);
                let (work, until) = (Arc::clone(&work.handler), Arc::clone(&until.handler));
                Some(Box::pin(async move {
                    let output = Arc::new(work(work_of_round).await?);
                    let asked = HandlerCall {
                        last: Some(Arc::clone(&output)),
                        ..asked
                    };
                    match until(asked).await? {
                        Value::Bool(true) => Ok(ControlFlow::Break(output as Output)),
                        Value::Bool(false) => Ok(ControlFlow::Continue(output as Output)),
                        other => Err(AttemptError::NotABoolean(other.to_string()).into()),
                    }
                }) as StepFuture<_>)
            };
            rounds.until_done(begin).await
        }))
    })
}
