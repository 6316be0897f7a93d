//! What each metric is, as exporters tell it to people.

use metrics::{
    Unit::{Bytes, Count, Seconds},
    describe_counter, describe_gauge, describe_histogram,
};

pub(super) fn describe() {
    topics();
    program();
    workflows();
    errors();
    monitor();
}

fn topics() {
    describe_counter!(
        "messaging.client.sent.messages",
        Count,
        "Events accepted by a topic"
    );
    describe_counter!(
        "messaging.client.consumed.messages",
        Count,
        "Deliveries made"
    );
    describe_histogram!(
        "messaging.process.duration",
        Seconds,
        "How long events were handled"
    );
    describe_histogram!(
        "coord.topic.queued",
        Seconds,
        "From publication until handling began"
    );
    describe_counter!(
        "coord.topic.dropped",
        Count,
        "Deliveries that overflow took"
    );
    describe_counter!(
        "coord.topic.conflated",
        Count,
        "Deliveries in the place of which a newer event came"
    );
    describe_gauge!("coord.topic.depth", Count, "Events held");
    describe_gauge!(
        "coord.topic.lag",
        Count,
        "How far the slowest subscriber is behind"
    );
    describe_gauge!(
        "coord.topic.waiting_publishers",
        Count,
        "Publishers that wait for room"
    );
    describe_counter!(
        "coord.subscriber.delivered",
        Count,
        "Events that a subscriber got"
    );
    describe_counter!(
        "coord.subscriber.dropped",
        Count,
        "Events that overflow took from a subscriber"
    );
    describe_counter!(
        "coord.subscriber.conflated",
        Count,
        "Events in the place of which a subscriber got a newer one"
    );
    describe_gauge!(
        "coord.subscriber.lag",
        Count,
        "How far a subscriber is behind"
    );
}

fn program() {
    describe_gauge!(
        "process.memory.usage",
        Bytes,
        "Resident memory of the program"
    );
    describe_gauge!(
        "process.cpu.utilization",
        "Processor time of the program; 1 is all processors that it may use"
    );
    describe_gauge!(
        "coord.process.memory.usage",
        Bytes,
        "Resident memory of a process and all that it has started"
    );
    describe_gauge!(
        "coord.process.cpu.utilization",
        "Processor time of a process and all that it has started; 1 is all processors"
    );
    describe_gauge!(
        "coord.process.count",
        Count,
        "A process and all that it has started"
    );
}

fn workflows() {
    describe_gauge!("coord.workflow.active", Count, "Runs that go on");
    describe_counter!("coord.workflow.runs", Count, "Runs that ended, by outcome");
    describe_histogram!("coord.workflow.duration", Seconds, "How long runs took");
    describe_counter!(
        "coord.workflow.steps",
        Count,
        "Steps that ended, by outcome"
    );
    describe_counter!(
        "coord.workflow.retries",
        Count,
        "Attempts at steps that were followed by another"
    );
    describe_counter!("coord.step.attempts", Count, "Attempts at steps that began");
    describe_counter!(
        "coord.step.failures",
        Count,
        "Attempts at steps that failed"
    );
    describe_histogram!("coord.step.duration", Seconds, "How long steps took");
}

fn errors() {
    describe_counter!("coord.errors", Count, "Errors detected, by severity");
    describe_counter!("coord.error.types", Count, "Errors detected, by type");
    describe_counter!(
        "coord.recovery.attempts",
        Count,
        "Attempts to recover from errors"
    );
    describe_counter!(
        "coord.recoveries",
        Count,
        "Recoveries that ended, by outcome"
    );
    describe_histogram!(
        "coord.recovery.duration",
        Seconds,
        "How long it took to recover"
    );
}

fn monitor() {
    describe_gauge!("coord.alerts", Count, "Alerts that are open");
    describe_gauge!(
        "coord.reading",
        "A figure that a part of the program counts"
    );
    describe_gauge!(
        "coord.monitor.unread",
        Count,
        "Readings beyond the limit of a snapshot"
    );
    describe_counter!(
        "coord.monitor.missed",
        Count,
        "Events that came faster than the monitor read"
    );
    describe_counter!(
        "coord.monitor.unlogged",
        Count,
        "Lines that found no room in the log"
    );
    describe_counter!(
        "coord.monitor.panicked",
        Count,
        "Calls of thresholds, sources and recorders that panicked"
    );
    describe_counter!(
        "coord.monitor.unwatched",
        Count,
        "Processes beyond the limit of those that are watched"
    );
}
