//! Handlers by name: how a workflow that is data becomes one that runs.

mod child;
mod each;
mod repeat;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::builder::new_identity;
use crate::context::Start;
use crate::durable::Codec;
use crate::error::AttemptError;
use crate::hook::{Hook, HookCall, HookHandler};
use crate::plan::{Action, DEFAULT_STEP_TIMEOUT, Output, Plan, PlannedStep, UndoAction, When};
use crate::shape::Shape;
use crate::validate::{Faults, ValidSpec, check};
use crate::waits::{self, Wait};
use crate::{
    Call, Durable, HookSpec, Retry, Spec, StepContext, StepError, StepSpec, UndoSpec, Workflow,
};
use child::KnownWorkflow;
use each::Each;

/// How what handlers put out is kept.
const VALUE: Option<Codec> = Some(Codec::of::<Value>());

/// What a handler is called with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandlerCall {
    /// Which step and attempt it is, and when to stop.
    pub context: StepContext,
    /// What the spec says the handler is given.
    pub input: Value,
    /// The outputs of the steps that this one needs, by id, of those that have one.
    pub outputs: BTreeMap<String, Arc<Value>>,
    /// The item that it is called for, in a step that is done [for each](crate::StepSpec::for_each).
    pub item: Option<Value>,
    /// What the round before put out, in a step that is done [in rounds](crate::StepSpec::repeat); where
    /// it is asked whether that was the last, what the round put out, or its run.
    pub last: Option<Arc<Value>>,
}

type Handler =
    Arc<dyn Fn(HandlerCall) -> BoxFuture<'static, Result<Value, StepError>> + Send + Sync>;

/// Handlers by name, for workflows that are data.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use coord_bus::LocalBus;
/// use coord_workflow::{HandlerCall, Registry, Spec, StepError, StepSpec, WorkflowOrchestrator};
/// use serde_json::json;
///
/// let registry = Registry::new().handler("double", |call: HandlerCall| async move {
///     let number = call.input.as_i64().ok_or_else(|| StepError::message("not a number"))?;
///     Ok(json!(number * 2))
/// });
/// let spec = Spec::new("arithmetic").step(StepSpec::new("six", "double").input(3));
/// let workflow = registry.workflow(spec)?;
///
/// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
/// let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
/// assert_eq!(outcome.value_of("six").as_deref(), Some(&json!(6)));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<String, Handler>,
    hooks: BTreeMap<String, HookHandler>,
    workflows: BTreeMap<String, KnownWorkflow>,
}

impl Registry {
    /// A registry without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more handler; a later one replaces an earlier one of its name.
    #[must_use]
    pub fn handler<F, Fut>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(HandlerCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, StepError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
        self.handlers.insert(name.into(), handler);
        self
    }

    /// With one more hook, which is told how a step or a run came to its end; a later one replaces an
    /// earlier one of its name. Hooks have names of their own.
    #[must_use]
    pub fn hook<F, Fut>(mut self, name: impl Into<String>, hook: F) -> Self
    where
        F: Fn(HookCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        let hook: HookHandler = Arc::new(move |call| Box::pin(hook(call)));
        self.hooks.insert(name.into(), hook);
        self
    }

    /// With one more workflow that steps may run: see [`StepSpec::workflow`](crate::StepSpec::workflow). A
    /// later one replaces an earlier one of its name.
    #[must_use]
    pub fn with_workflow<I>(mut self, workflow: &Workflow<I, Durable>) -> Self
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let known = KnownWorkflow::of(workflow);
        self.workflows.insert(workflow.name().to_owned(), known);
        self
    }

    /// The names of the handlers, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(String::as_str)
    }

    /// The workflow that a spec describes. Its outputs are JSON, so its runs may be durable.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the spec, at once.
    pub fn workflow(&self, spec: Spec) -> Result<Workflow<(), Durable>, Faults> {
        self.workflow_with_input(spec)
    }

    /// The same, for runs that are started with an input. No handler sees it: in a durable run it is
    /// kept with the run, for who takes that up ([`RunJournal::input`](crate::RunJournal::input)).
    ///
    /// # Errors
    ///
    /// As [`workflow`](Self::workflow).
    pub fn workflow_with_input<I>(&self, spec: Spec) -> Result<Workflow<I, Durable>, Faults> {
        let workflows = self.workflows.iter();
        let workflows = workflows.map(|(name, known)| (&**name, known.steps()));
        let hooks = self.hooks.keys().map(String::as_str).collect();
        let valid = check(spec, self.names(), &hooks, &workflows.collect())?;
        Ok(self.plan(valid))
    }

    fn plan<I>(&self, valid: ValidSpec) -> Workflow<I, Durable> {
        let (needs, needs_any) = (valid.needs().to_vec(), valid.needs_any().to_vec());
        let spec = valid.into_spec();
        let ids: Arc<[String]> = spec.steps.iter().map(|step| step.id.clone()).collect();
        let steps = spec.steps.into_iter().zip(needs).zip(needs_any);
        let steps = steps.map(|((step, needs), needs_any)| {
            let given = given(&step);
            let each = step.for_each.as_ref().map(|each| Each::new(each, &ids));
            let runs = step.workflow.as_ref();
            let runs = runs.and_then(|child| Some(self.workflows.get(&child.name)?.ran(child)));
            let child = runs.as_ref().map(|ran| Arc::clone(&ran.child));
            let workflow = child.as_ref().map(|child| child.plan.name.clone());
            let shape = match (&each, &step.repeat, workflow) {
                (Some(_), _, workflow) => Some(each::shape(workflow)),
                (None, Some(_), workflow) => Some(Shape::Repeat {
                    codec: VALUE,
                    workflow,
                }),
                (None, None, Some(name)) => Some(Shape::Workflow { name }),
                (None, None, None) => None,
            };
            let input = step.input.clone();
            let from = each.as_ref().and_then(Each::from);
            let signal = step.signal.map(|name| Wait::Signal(name.into()));
            let wait = signal.or(step.sleep.map(Wait::Sleep));
            let only_waits = wait.is_some() || runs.is_some();
            let work = Call::new(step.handler, step.input);
            let all_needs = [&needs[..], &needs_any].concat();
            let bind = |call| self.bind(call, &ids, &all_needs);
            PlannedStep {
                id: step.id.into(),
                action: match &wait {
                    Some(Wait::Signal(name)) => waits::signal(name, |_, payload| Ok(payload)),
                    Some(Wait::Sleep(wait)) => waits::sleep(*wait, || Arc::new(Value::Null)),
                    _ => match (runs, each, step.repeat) {
                        (Some(ran), Some(each), _) => each.runs(ran),
                        (Some(ran), None, Some(repeat)) => {
                            repeat::runs(ran, &input, bind(repeat.until), repeat.rounds)
                        }
                        (Some(ran), None, None) => ran.action(&input),
                        (None, Some(each), _) => each.action(bind(work)),
                        (None, None, Some(repeat)) => {
                            repeat::action(bind(work), bind(repeat.until), repeat.rounds)
                        }
                        (None, None, None) => action(bind(work)),
                    },
                },
                reads_first: false,
                when: step.when.map(|call| condition(bind(call))),
                undo_retry: retry_of_undo(step.undo.as_ref()),
                undo_timeout: step.undo.as_ref().and_then(|undo| undo.timeout),
                undo: step.undo.map(|call| undo(bind(call.into()))),
                retry: step.retry.unwrap_or(Retry::none()),
                // A handler says of its error whether it is permanent.
                retry_if: None,
                timeout: step.timeout.unwrap_or(match only_waits {
                    true => Duration::MAX,
                    false => DEFAULT_STEP_TIMEOUT,
                }),
                total_timeout: step.total_timeout,
                heartbeat_timeout: step.heartbeat_timeout,
                on_exhausted: step.on_exhausted,
                optional: step.optional,
                critical: step.critical,
                codec: VALUE,
                wait,
                listen: None,
                given,
                resources: permits(step.resources),
                // An order, not an input: what a handler needs of the outputs is its business.
                inputs: from.into_iter().collect(),
                maybe: Vec::new(),
                is_given_all: true,
                shape,
                child,
                hook: step.hook.and_then(|hook| self.hook_of(hook)),
                needs: needs.clone(),
                needs_any: needs_any.clone(),
            }
        });
        let mut plan = Plan::new(
            spec.name.into(),
            steps.collect(),
            spec.concurrency,
            spec.timeout,
        );
        plan.on_failure = spec.on_failure;
        plan.hook = spec.hook.and_then(|hook| self.hook_of(hook));
        plan.stay = spec.stay.and_then(|stay| self.hook_of(stay.into()));
        Workflow {
            plan: Arc::new(plan),
            identity: new_identity(),
            types: PhantomData,
        }
    }

    /// A hook, which validation has found to be there.
    fn hook_of(&self, spec: HookSpec) -> Option<Hook> {
        let handler = Arc::clone(self.hooks.get(&spec.handler)?);
        Some(Hook {
            handler,
            input: spec.input,
            timeout: spec.timeout.unwrap_or(DEFAULT_STEP_TIMEOUT),
        })
    }

    /// A call of a handler, which validation has found to be there.
    fn bind(&self, call: Call, ids: &Arc<[String]>, needs: &[usize]) -> Bound {
        let missing: Handler = Arc::new(|_| Box::pin(std::future::pending()));
        Bound {
            handler: self.handlers.get(&call.handler).cloned().unwrap_or(missing),
            input: call.input,
            ids: Arc::clone(ids),
            needs: needs.into(),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.handlers.keys()).finish()
    }
}

/// A handler with what it is called with.
struct Bound {
    handler: Handler,
    input: Value,
    ids: Arc<[String]>,
    needs: Box<[usize]>,
}

impl Bound {
    fn call(&self, start: &Start<'_>) -> BoxFuture<'static, Result<Value, StepError>> {
        (self.handler)(self.prepared(start))
    }

    /// What the handler is called with.
    fn prepared(&self, start: &Start<'_>) -> HandlerCall {
        let outputs = self.needs.iter().filter_map(|&need| {
            let value = start.output(need)?.downcast().ok()?;
            Some((self.ids[need].clone(), value))
        });
        HandlerCall {
            outputs: outputs.collect(),
            context: start.context(),
            input: self.input.clone(),
            item: None,
            last: None,
        }
    }
}

/// What a step as data is given, in words that are kept: others, where it is another.
fn given(step: &StepSpec) -> Option<Box<str>> {
    let undone_by = step.undo.as_ref().map(|undo| (&undo.handler, &undo.input));
    let given = (&step.handler, &step.input, &step.when, undone_by);
    let given = match &step.for_each {
        None => serde_json::to_string(&given),
        Some(each) if each.pointer.is_none() => serde_json::to_string(&(given, &each.items)),
        Some(each) => serde_json::to_string(&(given, &each.items, &each.pointer)),
    };
    let given = match &step.repeat {
        None => given,
        Some(repeat) => serde_json::to_string(&(given.ok(), &repeat.until)),
    };
    // A value is always written.
    given.ok().map(Into::into)
}

fn action(call: Bound) -> Action {
    Box::new(move |start| {
        let work = call.call(start);
        Some(Box::pin(async move { Ok(Arc::new(work.await?) as Output) }))
    })
}

fn condition(call: Bound) -> When {
    Box::new(move |start| {
        let answer = call.call(start);
        Some(Box::pin(async move {
            match answer.await? {
                Value::Bool(answer) => Ok(answer),
                other => Err(AttemptError::NotABoolean(other.to_string()).into()),
            }
        }))
    })
}

fn permits(resources: BTreeMap<String, NonZeroU32>) -> BTreeMap<String, u32> {
    let permits = resources.into_iter();
    permits
        .map(|(name, permits)| (name, permits.get()))
        .collect()
}

fn retry_of_undo(undo: Option<&UndoSpec>) -> Retry {
    let retry = undo.and_then(|undo| undo.retry);
    retry.unwrap_or(Retry::OF_COMPENSATION)
}

fn undo(call: Bound) -> UndoAction {
    Box::new(move |start, output| {
        let context = start.context();
        let step = context.step().to_owned();
        // What is undone is known by its own output.
        let mut undoing = HandlerCall {
            context,
            input: call.input.clone(),
            outputs: BTreeMap::new(),
            item: None,
            last: None,
        };
        if let Ok(output) = output.downcast() {
            undoing.outputs.insert(step, output);
        }
        let undoing = (call.handler)(undoing);
        Box::pin(async move { undoing.await.map(drop) })
    })
}
