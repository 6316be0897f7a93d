//! How services become ready, or do not.

use std::time::Duration;

use coord_bus::vocabulary::{
    Exit, PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProbeKind, ProcessState, ServiceState,
};
use coord_bus::{BusExt, LocalBus};
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coord_patterns::service::{Check, Probe, ServiceError, ServiceRunner, ServiceSpec};
use tokio::time::Instant;

use crate::house::{House, READY, file, hanging, idle, impatient, pids, probe};
use crate::server::{Reply, Server, closed_port};
use crate::stage::{is_alive, shell_with_children, until, within};

const ASKED: ServiceState = ServiceState::Ended {
    exit: Some(Exit::signal(15)),
    asked: true,
};

#[tokio::test]
async fn without_a_probe_a_service_is_ready_when_its_process_has_started() {
    let mut house = House::new();
    let service = house.start(ServiceSpec::new(idle()));
    service.ready().await;
    let process = house.pid().await;
    assert_eq!(service.stopped().await.unwrap(), Exit::signal(15));
    assert_eq!(house.states(), [ServiceState::Starting, READY, ASKED]);
    assert_eq!(house.answers(), []);
    assert!(!is_alive(process));
}

#[tokio::test]
async fn a_service_is_ready_when_its_probe_says_so() {
    let server = Server::new([Reply::Status(200)]).await;
    let tcp = format!("localhost:{}", server.port);
    for (check, answer) in [
        (Check::http(&server.url()).unwrap(), "HTTP 200"),
        (Check::tcp(&tcp).unwrap(), "connected"),
        (Check::exec("true"), "exit code 0"),
        (Check::log("^[0-9]+$").unwrap(), "a process id"),
    ] {
        let mut house = House::new();
        let service = house.start(ServiceSpec::new(idle()).ready(probe(check)));
        service.ready().await;
        let process = house.line().await;
        let answer = answer.replace("a process id", &process);
        service.stopped().await.unwrap();
        let healthy = (ProbeKind::Readiness, true, answer);
        assert_eq!(house.answers(), [healthy]);
        assert_eq!(house.states(), [ServiceState::Starting, READY, ASKED]);
    }
}

#[tokio::test]
async fn a_service_that_starts_slowly_is_noticed_long_before_its_period_is_over() {
    let house = House::new();
    let no = Reply::Status(503);
    let server = Server::new([no, no, no, Reply::Status(200)]).await;
    let mut probe = probe(Check::http(&server.url()).unwrap());
    probe.period = Duration::from_secs(1000);
    let service = house.start(ServiceSpec::new(idle()).ready(probe));
    service.ready().await;
    assert_eq!(server.requests().len(), 4);
    service.stopped().await.unwrap();
}

#[tokio::test]
async fn as_many_good_answers_as_are_asked_for_are_needed_in_a_row() {
    let mut house = House::new();
    let (yes, no) = (Reply::Status(200), Reply::Status(503));
    let server = Server::new([yes, no, yes, yes]).await;
    let mut probe = probe(Check::http(&server.url()).unwrap());
    probe.success_threshold = 2;
    let service = house.start(ServiceSpec::new(idle()).ready(probe));
    service.ready().await;
    assert_eq!(server.requests().len(), 4);
    service.stopped().await.unwrap();
    // What is answered again is not told again.
    let told: Vec<_> = house.answers().into_iter().map(|told| told.1).collect();
    assert_eq!(told, [true, false, true]);
}

#[tokio::test]
async fn a_line_is_looked_for_in_both_streams_and_without_its_colours() {
    for redirection in ["", ">&2"] {
        let mut house = House::new();
        let line = r"'\033[32mlistening\033[0m on \033[1m80\033[0m80\n'";
        let script = format!("echo starting; printf {line} {redirection}; exec sleep 1000");
        let process = ProcessSpec::shell("server", script);
        let check = Check::log("^listening on 8080$").unwrap();
        let service = house.start(ServiceSpec::new(process).ready(probe(check)));
        service.ready().await;
        service.stopped().await.unwrap();
        let line = "listening on 8080".to_owned();
        assert_eq!(house.answers(), [(ProbeKind::Readiness, true, line)]);
    }
}

#[tokio::test]
async fn the_line_that_says_ready_was_published_before_anybody_is_told() {
    let mut house = House::new();
    let process = ProcessSpec::shell("server", "echo one; echo listening; exec sleep 1000");
    let spec = ServiceSpec::new(process).ready(probe(Check::log("listening").unwrap()));
    let stop = Stop::default();
    let output = &mut house.output;
    let mut lines = Vec::new();
    let run = house.runner.run(&spec, &stop, || {
        let come = std::iter::from_fn(|| Some(output.try_recv().ok()?.line.clone()));
        lines.extend(come);
        stop.graceful.cancel();
    });
    within(run).await.unwrap();
    assert_eq!(lines, ["one", "listening"]);
}

#[tokio::test]
async fn a_line_that_the_bus_has_no_room_for_makes_nothing_ready_yet() {
    let bus = LocalBus::new();
    let mut output = bus.subscribe(&PROCESS_OUTPUT.capacity(1)).unwrap();
    let mut health = bus.subscribe(&PROCESS_HEALTH).unwrap();
    let processes = ProcessRunner::new(&bus).unwrap();
    let house = House {
        runner: ServiceRunner::new(&bus, processes).unwrap(),
        ..House::new()
    };
    let process = ProcessSpec::shell("server", "echo one; echo listening; exec sleep 1000");
    let ready = probe(Check::log("listening").unwrap());
    let service = house.start(ServiceSpec::new(process).ready(ready));
    // It was found, and waits behind the line before it.
    assert_eq!(within(health.recv()).await.unwrap().answer, "listening");
    assert!(!service.ready.is_cancelled());
    for line in ["one", "listening"] {
        assert_eq!(within(output.recv()).await.unwrap().line, line);
    }
    service.ready().await;
    service.stopped().await.unwrap();
}

#[tokio::test]
async fn a_service_that_does_not_become_ready_is_stopped_and_the_last_answer_says_why() {
    let (_socket, port) = closed_port();
    let server = Server::new([Reply::Never]).await;
    let mut slow = impatient(Check::http(&server.url()).unwrap());
    slow.timeout = Duration::from_millis(30);
    for (probe, last) in [
        (
            impatient(Check::tcp(&format!("127.0.0.1:{port}")).unwrap()),
            "connection refused",
        ),
        (
            impatient(Check::exec("echo not yet >&2; exit 3")),
            "exit code 3: not yet",
        ),
        (
            impatient(Check::log("li[s]tening").unwrap()),
            "no line matched `li[s]tening`",
        ),
        (slow, "no answer within 30 ms"),
    ] {
        let mut house = House::new();
        // Its time to become ready begins when the test has seen that it runs.
        house.processes.suspend();
        let service = house.start(ServiceSpec::new(idle()).ready(probe));
        let process = house.pid().await;
        house.processes.resume();
        let ready = service.ready.clone();
        let error = service.ended().await.expect_err("it is not ready");
        assert!(!is_alive(process) && !ready.is_cancelled());
        assert!(error.is_permanent());
        let text = format!("not ready within 500 ms, and its probe was answered last: {last};");
        assert!(error.to_string().contains(&text), "{error}");
        let ServiceError::NotReady { answer, after, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((&*answer, after), (last, Duration::from_millis(500)));
        let exit = Some(Exit::signal(15));
        let ended = ServiceState::Ended { exit, asked: false };
        let not_ready = ServiceState::NotReady { answer };
        let states = [ServiceState::Starting, not_ready, ended];
        assert_eq!(house.states(), states);
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_has_its_grace_and_is_then_killed_with_its_children() {
    let mut house = House::new();
    let script = "trap '' TERM; sh -c \"$CHILD\" & sh -c \"$CHILD\" & wait";
    let process = shell_with_children(script).grace(Duration::from_millis(50));
    let probe = impatient(Check::log("listening").unwrap());
    // Its time to become ready begins when its children are there.
    house.processes.suspend();
    let service = house.start(ServiceSpec::new(process).ready(probe));
    let children = [house.pid().await, house.pid().await];
    house.processes.resume();
    let error = service.ended().await.expect_err("it is not ready");
    assert!(matches!(error, ServiceError::NotReady { .. }), "{error}");
    assert!(!children.into_iter().any(is_alive));
    let exit = Some(Exit::signal(9));
    let ended = ServiceState::Ended { exit, asked: false };
    assert_eq!(house.states().last(), Some(&ended));
}

#[tokio::test]
async fn a_process_that_ends_before_it_is_ready_takes_its_probe_with_it() {
    let mut house = House::new();
    let hung = file("ends_before_it_is_ready");
    let script = format!(
        "while [ ! -e '{}' ]; do sleep 0.01; done; exit 3",
        hung.display()
    );
    let process = ProcessSpec::shell("crash", script);
    let probe = probe(Check::exec(hanging(&hung)));
    let service = house.start(ServiceSpec::new(process).ready(probe));
    let ready = service.ready.clone();
    assert_eq!(service.ended().await.unwrap(), Exit::code(3));
    assert!(!ready.is_cancelled());
    let asking = pids(&hung).await;
    until(|| !asking.iter().copied().any(is_alive)).await;
    let exit = Some(Exit::code(3));
    let ended = ServiceState::Ended { exit, asked: false };
    assert_eq!(house.states(), [ServiceState::Starting, ended]);
}

#[tokio::test]
async fn a_service_that_has_ended_before_anybody_came_to_look_was_ready_all_the_same() {
    let listening = Check::log("listening").unwrap();
    for (ready, was_ready) in [
        (None, true),
        (Some(probe(listening)), true),
        (Some(probe(Check::log("serving").unwrap())), false),
        (Some(probe(Check::exec("true"))), false),
    ] {
        let mut house = House::new();
        let mut lifecycle = house.bus.subscribe(&PROCESS_LIFECYCLE).unwrap();
        let mut spec = ServiceSpec::new(ProcessSpec::shell("crash", "echo listening; exit 3"));
        spec.ready = ready;
        let service = house.start(spec);
        let started = within(lifecycle.recv()).await.unwrap();
        let ProcessState::Started { pid } = started.state else {
            panic!("{started:?}");
        };
        // The runtime's one thread does nothing meanwhile.
        while is_alive(pid.cast_signed()) {
            std::thread::yield_now();
        }
        assert_eq!(service.ended().await.unwrap(), Exit::code(3));
        let exit = Some(Exit::code(3));
        let ended = ServiceState::Ended { exit, asked: false };
        let states = house.states();
        match was_ready {
            true => assert_eq!(states, [ServiceState::Starting, READY, ended]),
            false => assert_eq!(states, [ServiceState::Starting, ended]),
        }
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_its_children() {
    let mut house = House::new();
    let hung = file("takes_too_long");
    let mut probe = probe(Check::exec(hanging(&hung)));
    // Mostly long enough for the shell to begin its child; if not, it is asked again.
    probe.timeout = Duration::from_secs(1);
    let service = house.start(ServiceSpec::new(idle()).ready(probe));
    let asking = pids(&hung).await;
    let answer = (
        ProbeKind::Readiness,
        false,
        "no answer within 1 s".to_owned(),
    );
    assert_eq!(house.answer().await, answer);
    until(|| !asking.iter().copied().any(is_alive)).await;
    service.stopped().await.unwrap();
}

#[tokio::test]
async fn a_service_may_be_stopped_before_it_is_ready() {
    let mut house = House::new();
    let server = Server::new([Reply::Status(503)]).await;
    let probe = probe(Check::http(&server.url()).unwrap());
    let service = house.start(ServiceSpec::new(idle()).ready(probe));
    house.answer().await;
    let ready = service.ready.clone();
    assert_eq!(service.stopped().await.unwrap(), Exit::signal(15));
    assert!(!ready.is_cancelled());
    assert_eq!(house.states(), [ServiceState::Starting, ASKED]);
}

#[tokio::test(start_paused = true)]
async fn a_service_has_its_start_delay_and_then_three_periods_to_become_ready() {
    let house = House::new();
    let mut probe = Probe::new(Check::log("listening").unwrap());
    probe.start_delay = Duration::from_secs(1000);
    let begun = Instant::now();
    let service = house.start(ServiceSpec::new(idle()).ready(probe));
    let error = service.task.await.unwrap().expect_err("it is not ready");
    // It may have taken its grace.
    let taken = begun.elapsed().as_secs();
    assert!((1030..=1041).contains(&taken), "{taken}");
    let ServiceError::NotReady { after, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(after, Duration::from_secs(1030));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_the_start_delay_is_over() {
    for kind in [ProbeKind::Readiness, ProbeKind::Liveness] {
        let mut house = House::new();
        let mut probe = probe(Check::exec("true"));
        probe.start_delay = Duration::from_secs(1000);
        let begun = Instant::now();
        let spec = ServiceSpec::new(idle());
        let mut service = house.start(match kind {
            ProbeKind::Readiness => spec.ready(probe),
            ProbeKind::Liveness => spec.live(probe),
        });
        // Its answer may have come too late, for the time goes on by itself.
        let answer = tokio::select! {
            answer = house.health.recv() => answer.expect("the bus is open"),
            end = &mut service.task => panic!("nothing was asked: {end:?}"),
        };
        assert_eq!(answer.probe, kind);
        let taken = begun.elapsed().as_secs();
        assert!((1000..=1101).contains(&taken), "{taken}");
        service.task.abort();
    }
}
