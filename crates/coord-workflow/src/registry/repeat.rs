//! A handler that is called in rounds, or a workflow that is run in them, until another handler says that it is done.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use super::child::Ran;
use super::{Bound, Handler};
use crate::context::Start;
use crate::error::AttemptError;
use crate::plan::{Action, Output, StepFuture};
use crate::run::{ChildRun, RoundEnd, Rounds};
use crate::{HandlerCall, Repeat, StepError};

pub(super) fn action(work: Bound, until: Bound, repeat: Repeat) -> Action {
    let bound = Arc::new((work, until));
    Box::new(move |start| {
        let (rounds, bound) = (Rounds::of(start, repeat), Arc::clone(&bound));
        Some(Box::pin(async move {
            let begin = |start: &Start<'_>, last: Option<Output>| {
                let (work, until) = &*bound;
                let work_of_round = HandlerCall {
                    last: value(last),
                    ..work.prepared(start)
                };
                let asked = until.prepared(start);
                let (work, until) = (Arc::clone(&work.handler), Arc::clone(&until.handler));
                Some(Box::pin(async move {
                    let output = Arc::new(work(work_of_round).await?);
                    end(&until, asked, output).await
                }) as StepFuture<_>)
            };
            rounds.until_done(begin).await
        }))
    })
}

/// The same of a workflow: the first run is started with this, and each other with what the one before put out.
pub(super) fn runs(ran: Ran, input: &Value, until: Bound, repeat: Repeat) -> Action {
    let (input, bound) = (input.to_string(), Arc::new((ran, until)));
    Box::new(move |start| {
        let rounds = Rounds::of(start, repeat);
        let (bound, input) = (Arc::clone(&bound), input.clone());
        Some(Box::pin(async move {
            let begin = |start: &Start<'_>, last: Option<Output>| {
                let (ran, until) = &*bound;
                let given = match value(last) {
                    Some(last) => ran.input_after(&last),
                    None => ran.input(&input),
                };
                let run = ChildRun::of(start, &ran.child);
                let (asked, until) = (until.prepared(start), Arc::clone(&until.handler));
                Some(Box::pin(async move {
                    let output = value(Some(run.ended_with(given?).await?));
                    end(&until, asked, output.unwrap_or_default()).await
                }) as StepFuture<_>)
            };
            rounds.until_done(begin).await
        }))
    })
}

/// What outputs are here.
fn value(output: Option<Output>) -> Option<Arc<Value>> {
    output?.downcast().ok()
}

/// What a round comes to that has put this out.
async fn end(
    until: &Handler,
    asked: HandlerCall,
    output: Arc<Value>,
) -> Result<RoundEnd, StepError> {
    let asked = HandlerCall {
        last: Some(Arc::clone(&output)),
        ..asked
    };
    match until(asked).await? {
        Value::Bool(true) => Ok(ControlFlow::Break(output)),
        Value::Bool(false) => Ok(ControlFlow::Continue(output)),
        other => Err(AttemptError::NotABoolean(other.to_string()).into()),
    }
}
