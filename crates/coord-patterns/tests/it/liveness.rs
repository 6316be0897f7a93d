//! How services are found to be well no more, and what else may end them.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{Exit, PROCESS_OUTPUT, ProbeKind, SERVICE_LIFECYCLE, ServiceState};
use coord_bus::{Bus, BusExt, LocalBus, Timestamp};
use coord_patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop};
use coord_patterns::service::{Check, Probe, ServiceError, ServiceRunner, ServiceSpec};

use crate::house::{House, READY, file, hanging, idle, pids, probe};
use crate::server::{Reply, Server};
use crate::stage::{is_alive, state_of, until, within};

#[tokio::test]
async fn bad_answers_in_a_row_stop_a_service() {
    let mut house = House::new();
    let (yes, no) = (Reply::Status(200), Reply::Status(503));
    let server = Server::new([yes, no, no, yes, no, no, no]).await;
    let mut live = probe(Check::http(&server.url()).unwrap());
    live.failure_threshold = 3;
    let service = house.start(ServiceSpec::new(idle()).live(live));
    let process = house.pid().await;
    let error = service.ended().await.expect_err("it is not well");
    assert_eq!(server.requests().len(), 7);
    assert!(!is_alive(process) && !error.is_permanent());
    let text = "did not answer well 3 times in a row, the last time: HTTP 503;";
    assert!(error.to_string().contains(text), "{error}");
    let ServiceError::Unhealthy {
        failures: 3,
        answer,
        ..
    } = error
    else {
        panic!("{error}");
    };
    let exit = Some(Exit::signal(15));
    let ended = ServiceState::Ended { exit, asked: false };
    let unhealthy = ServiceState::Unhealthy { answer };
    let states = [ServiceState::Starting, READY, unhealthy, ended];
    assert_eq!(house.states(), states);
    let answers = [(true, 200), (false, 503), (true, 200), (false, 503)];
    let told =
        answers.map(|(healthy, status)| (ProbeKind::Liveness, healthy, format!("HTTP {status}")));
    assert_eq!(house.answers(), told);
}

#[tokio::test]
async fn a_service_is_not_asked_whether_it_lives_before_it_is_ready() {
    let mut house = House::new();
    let live = Server::new([Reply::Status(200)]).await;
    let (yes, no) = (Reply::Status(200), Reply::Status(503));
    let ready = Server::new([no, no, yes]).await;
    let spec = ServiceSpec::new(idle())
        .ready(probe(Check::http(&ready.url()).unwrap()))
        .live(probe(Check::http(&live.url()).unwrap()));
    let service = house.start(spec);
    let readiness = [house.answer().await, house.answer().await];
    assert_eq!(readiness.map(|told| told.0), [ProbeKind::Readiness; 2]);
    assert_eq!(house.answer().await.0, ProbeKind::Liveness);
    assert_eq!(ready.requests().len(), 3);
    service.stopped().await.unwrap();
}

#[tokio::test]
async fn a_service_that_ends_by_itself_says_how() {
    let mut house = House::new();
    let live = probe(Check::exec("true"));
    let process = ProcessSpec::shell("short", "exit 7");
    let service = house.start(ServiceSpec::new(process).live(live));
    assert_eq!(service.ended().await.unwrap(), Exit::code(7));
    let exit = Some(Exit::code(7));
    let ended = ServiceState::Ended { exit, asked: false };
    assert_eq!(house.states().last(), Some(&ended));
}

#[tokio::test]
async fn a_second_request_kills_a_service_at_once() {
    let mut house = House::new();
    let process = ProcessSpec::shell(
        "stubborn",
        "trap '' TERM; echo $$; while :; do sleep 1; done",
    );
    let service = house.start(ServiceSpec::new(process));
    let process = house.pid().await;
    service.stop.graceful.cancel();
    service.stop.immediate.cancel();
    assert_eq!(service.ended().await.unwrap(), Exit::signal(9));
    assert!(!is_alive(process));
}

#[tokio::test]
async fn dropping_the_future_kills_the_process_and_what_asks_it() {
    let mut house = House::new();
    let hung = file("dropping_the_future");
    let live = probe(Check::exec(hanging(&hung)));
    let service = house.start(ServiceSpec::new(idle()).live(live));
    let process = house.pid().await;
    let asking = pids(&hung).await;
    assert!(is_alive(process) && asking.iter().copied().all(is_alive));
    service.task.abort();
    until(|| !is_alive(process) && !asking.iter().copied().any(is_alive)).await;
}

#[tokio::test]
async fn a_full_bus_holds_up_the_telling_and_not_the_service() {
    let bus = LocalBus::new();
    let mut lifecycle = bus.subscribe(&SERVICE_LIFECYCLE.capacity(1)).unwrap();
    let processes = ProcessRunner::new(&bus).unwrap();
    let house = House {
        runner: ServiceRunner::new(&bus, processes.clone()).unwrap(),
        ..House::new()
    };
    let service = house.start(ServiceSpec::new(idle()));
    // Only that it starts has found room.
    service.ready().await;
    service.stop.graceful.cancel();
    let mut states = Vec::new();
    while states.len() < 3 {
        assert!(!service.task.is_finished());
        states.push(within(lifecycle.recv()).await.unwrap().state.clone());
    }
    assert!(matches!(states[1], ServiceState::Ready { .. }));
    assert!(matches!(states[2], ServiceState::Ended { asked: true, .. }));
    service.ended().await.unwrap();
}

#[tokio::test]
async fn a_service_that_has_ended_is_not_given_up_while_the_bus_is_full() {
    let bus = LocalBus::new();
    let mut output = bus.subscribe(&PROCESS_OUTPUT.capacity(1)).unwrap();
    let processes = ProcessRunner::new(&bus).unwrap();
    let house = House {
        runner: ServiceRunner::new(&bus, processes).unwrap(),
        ..House::new()
    };
    let process = ProcessSpec::shell("crash", "echo $$; echo one; echo two; exit 3");
    let ready = Probe::new(Check::log("listening").unwrap());
    let service = house.start(ServiceSpec::new(process).ready(ready));
    let line = within(output.recv()).await.unwrap().line.clone();
    let process = line.parse().unwrap();
    until(|| state_of(process).is_none()).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1000)).await;
    for line in ["one", "two"] {
        assert!(!service.task.is_finished());
        assert_eq!(output.recv().await.unwrap().line, line);
    }
    assert_eq!(service.task.await.unwrap().unwrap(), Exit::code(3));
}

#[tokio::test]
async fn on_a_closed_bus_no_service_goes_on_running() {
    let mut house = House::new();
    let change = file("on_a_closed_bus");
    let live = probe(Check::exec(format!("[ ! -e '{}' ]", change.display())));
    let service = house.start(ServiceSpec::new(idle()).live(live));
    let process = house.pid().await;
    house.answer().await;
    house.bus.close();
    let late = house.start(ServiceSpec::new(idle()));
    let error = late.ended().await.expect_err("nobody can be told");
    assert!(error.is_permanent(), "{error}");
    // It has nothing to tell before its probe is answered otherwise.
    std::fs::write(change, "").unwrap();
    let error = service.ended().await.expect_err("nobody can be told");
    assert!(error.is_permanent(), "{error}");
    assert!(!is_alive(process));
}

#[tokio::test]
async fn a_service_whose_program_is_missing_is_not_worth_a_restart() {
    let mut house = House::new();
    let missing = ProcessSpec::program("build", "carg0");
    let error = house.start(ServiceSpec::new(missing)).ended().await;
    let error = error.expect_err("it cannot start");
    let ServiceError::Process(cause) = &error else {
        panic!("{error}");
    };
    assert!(matches!(cause, ProcessError::ProgramNotFound { .. }));
    assert!(cause.is_permanent() && error.is_permanent());
    let exit = None;
    let ended = ServiceState::Ended { exit, asked: false };
    assert_eq!(house.states(), [ServiceState::Starting, ended]);
}

#[tokio::test]
async fn after_a_stop_was_requested_no_service_starts() {
    let mut house = House::new();
    let stop = Stop::default();
    stop.graceful.cancel();
    let spec = ServiceSpec::new(idle());
    let run = house.runner.run(&spec, &stop, || panic!("it is not ready"));
    let error = within(run).await.expect_err("it does not start");
    assert!(error.is_permanent(), "{error}");
    let exit = None;
    let ended = ServiceState::Ended { exit, asked: true };
    assert_eq!(house.states(), [ServiceState::Starting, ended]);
}

#[tokio::test]
async fn a_log_cannot_say_that_a_service_lives() {
    let mut house = House::new();
    let live = probe(Check::log("alive").unwrap());
    let error = house
        .start(ServiceSpec::new(idle()).live(live))
        .ended()
        .await;
    let error = error.expect_err("it is not run");
    assert!(matches!(error, ServiceError::LiveByLog { .. }), "{error}");
    assert!(error.is_permanent());
    assert_eq!(house.states(), []);
}

#[tokio::test]
async fn events_carry_the_service_s_name_and_the_clock_s_time() {
    let mut house = House::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    house.runner = house.runner.clone().with_clock(clock);
    let service = house.start(ServiceSpec::new(idle()).ready(probe(Check::exec("true"))));
    service.ready().await;
    service.stopped().await.unwrap();
    let process = house.pid().await.cast_unsigned();
    let health = house.health.try_recv().unwrap();
    assert_eq!((&*health.process, health.pid), ("idle", process));
    assert_eq!(health.at, Timestamp::UNIX_EPOCH);
    while let Ok(event) = house.lifecycle.try_recv() {
        assert_eq!(event.service, "idle");
        assert_eq!(event.at, Timestamp::UNIX_EPOCH);
    }
}
