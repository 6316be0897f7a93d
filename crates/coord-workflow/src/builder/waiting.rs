//! Steps that wait for an event of a bus.

use coord_bus::{Bus, Event, Meta, Topic};

use super::{NoUndo, StepBuilder};
use crate::waits::{self, Wait};
use crate::{Keeps, RunId, Step};

impl<I, In, K> StepBuilder<'_, I, In, NoUndo, K> {
    /// Adds the step: it waits for an event of this topic whose
    /// [correlation id](coord_bus::Meta::correlation_id) is the run's id, and puts that out.
    ///
    /// The run listens from its start, so what a step does before this one begins may cause the event;
    /// the first that comes is the one, also if it comes before the step begins. What the topic
    /// retains is looked at, too; what was published before the start, and is not retained, is not
    /// there any more. The listener loses nothing, and is gone once the event is there.
    ///
    /// In a durable run the event is kept as the step's output, and not waited for again. A bus is no
    /// journal: a run that is taken up listens from then on, and what came while nobody drove it, or
    /// had come and the step had not begun, is lost. Where that matters, send a
    /// [signal](crate::Command::Signal).
    ///
    /// There is no limit to the step's time but the run's, where none is set, and it takes no place
    /// from steps that work. Where the topic cannot be subscribed to, or is closed before, the step
    /// fails.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, Envelope, LocalBus, Topic};
    /// use coord_workflow::{StepContext, StepError, Workflow, WorkflowOrchestrator};
    ///
    /// const REQUESTS: Topic<&str> = Topic::in_process("requests");
    /// const ANSWERS: Topic<u64> = Topic::new("answers");
    ///
    /// let bus = LocalBus::new();
    /// let answering = bus.on(&REQUESTS, {
    ///     let answers = bus.publisher(&ANSWERS)?;
    ///     // What a handler publishes has the correlation id of what it handles.
    ///     move |_| { let answers = answers.clone(); async move { answers.publish(42).await } }
    /// })?;
    /// let requests = bus.publisher(&REQUESTS)?;
    /// let mut workflow = Workflow::builder("ask");
    /// let ask = workflow.step("ask").run_with(move |context: StepContext| {
    ///     let requests = requests.clone();
    ///     let question = Envelope::new("?").correlation_id(context.run().as_str());
    ///     async move { Ok::<_, StepError>(requests.publish_with(question).await?) }
    /// });
    /// let answer = workflow.step("answer").after(&ask).wait_for(&bus, &ANSWERS);
    /// let workflow = workflow.build()?;
    ///
    /// let outcome = WorkflowOrchestrator::new(&bus)?.execute_workflow(&workflow, ()).await?;
    /// assert_eq!(*outcome.output(&answer).unwrap(), 42);
    /// # drop(answering);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn wait_for<E, B>(self, bus: &B, topic: &Topic<E>) -> Step<E>
    where
        E: Event + Clone,
        B: Bus + Clone + 'static,
        K: Keeps<E>,
    {
        let is_of_run =
            |_: &E, meta: &Meta<'_>, run: &RunId| meta.correlation_id() == Some(run.as_str());
        self.wait_for_where(bus, topic, is_of_run)
    }

    /// The same, for the first event of which this says that it is the one.
    pub fn wait_for_where<E, B, F>(mut self, bus: &B, topic: &Topic<E>, is_wanted: F) -> Step<E>
    where
        E: Event + Clone,
        B: Bus + Clone + 'static,
        F: Fn(&E, &Meta<'_>, &RunId) -> bool + Send + Sync + 'static,
        K: Keeps<E>,
    {
        self.step.listen = Some(waits::listener(bus, topic, is_wanted));
        self.step.action = waits::event();
        self.waits(Wait::Event(topic.name().into())).add()
    }
}
