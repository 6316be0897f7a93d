//! What each check takes for a good answer, and what it says of a bad one.

use std::time::Duration;

use coord_patterns::service::{Check, CheckError, Probe, ServiceSpec};

use crate::house::{House, idle, probe};
use crate::server::{Reply, Server, closed_port};

/// What a service is answered first that is asked so.
async fn first_answer(probe: Probe) -> (bool, String) {
    let mut house = House::new();
    let mut process = idle().dir("/").env("COLOUR", "blue");
    process.name = "asked".to_owned();
    let service = house.start(ServiceSpec::new(process).ready(probe));
    let (_, healthy, answer) = house.answer().await;
    service.stopped().await.expect("it is stopped");
    // Of what a command prints, nothing is published.
    let lines = std::iter::from_fn(|| Some(house.output.try_recv().ok()?.line.clone()));
    let printed: Vec<String> = lines.collect();
    assert!(
        printed.iter().all(|line| line.parse::<i32>().is_ok()),
        "{printed:?}"
    );
    (healthy, answer)
}

async fn told(check: Check) -> (bool, String) {
    first_answer(probe(check)).await
}

#[tokio::test]
async fn a_status_from_200_to_399_is_good() {
    for (status, healthy) in [
        (200, true),
        (204, true),
        (302, true),
        (399, true),
        (400, false),
        (404, false),
        (503, false),
    ] {
        let server = Server::new([Reply::Status(status)]).await;
        let answer = told(Check::http(&server.url()).unwrap()).await;
        assert_eq!(answer, (healthy, format!("HTTP {status}")));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_said_in_words() {
    for (reply, answer) in [
        (Reply::Close, "the connection was closed without an answer"),
        (Reply::Text("hello there\r\n\r\n"), "the answer is not HTTP"),
        (
            Reply::Text("\x00\x01\x02\r\n\r\n"),
            "the answer is not HTTP",
        ),
    ] {
        let server = Server::new([reply]).await;
        let check = Check::http(&server.url()).unwrap();
        assert_eq!(told(check).await, (false, answer.to_owned()), "{reply:?}");
    }
    let server = Server::new([Reply::Never]).await;
    let mut slow = probe(Check::http(&server.url()).unwrap());
    slow.timeout = Duration::from_millis(50);
    let answer = (false, "no answer within 50 ms".to_owned());
    assert_eq!(first_answer(slow).await, answer);

    let (_socket, port) = closed_port();
    let refused = (false, "connection refused".to_owned());
    let url = format!("http://localhost:{port}");
    assert_eq!(told(Check::http(&url).unwrap()).await, refused);
    let address = format!("localhost:{port}");
    assert_eq!(told(Check::tcp(&address).unwrap()).await, refused);
}

#[tokio::test]
async fn an_http_probe_says_who_asks_and_what_for() {
    let server = Server::new([Reply::Status(200)]).await;
    let host = format!("localhost:{}", server.port);
    let url = format!("http://{host}/health?deep=yes#not-sent");
    assert!(told(Check::http(&url).unwrap()).await.0);
    let requests = server.requests();
    let mut lines: Vec<_> = requests[0].lines().map(str::to_ascii_lowercase).collect();
    assert_eq!(lines.remove(0), "get /health?deep=yes http/1.1");
    lines.sort();
    let agent = format!("user-agent: coord-probe/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {host}");
    assert_eq!(lines, ["connection: close", &host, &agent]);
}

#[tokio::test]
async fn a_command_answers_with_its_exit_code_and_its_last_line() {
    for (line, healthy, answer) in [
        ("true", true, "exit code 0"),
        ("echo fine", true, "exit code 0"),
        ("exit 7", false, "exit code 7"),
        (
            "echo one; echo two; echo; exit 7",
            false,
            "exit code 7: two",
        ),
        (
            "echo out; printf err >&2; exit 7",
            false,
            "exit code 7: err",
        ),
        (
            r"printf '\033[31mred\033[0m\n\033[0m\n'; false",
            false,
            "exit code 1: red",
        ),
        ("kill -KILL $$", false, "killed by SIGKILL"),
        (r#"[ "$PWD $COLOUR" = "/ blue" ]"#, true, "exit code 0"),
        ("sleep 1000 & exit 3", false, "exit code 3"),
    ] {
        let answer = (healthy, answer.to_owned());
        assert_eq!(told(Check::exec(line)).await, answer, "{line}");
    }
}

#[tokio::test]
async fn an_answer_is_never_long() {
    let line = "head -c 100000 /dev/zero | tr '\\0' x; exit 1";
    let (healthy, answer) = told(Check::exec(line)).await;
    assert!(!healthy && answer.starts_with("exit code 1: xxx"));
    assert!(answer.len() <= 256 && answer.ends_with("x…"), "{answer}");
}

#[test]
fn what_cannot_be_asked_is_refused_in_words() {
    for (check, text) in [
        (
            Check::http("https://a.example/x"),
            "plain HTTP: write `http://`",
        ),
        (
            Check::http("localhost:8080"),
            "it has to begin with `http://`",
        ),
        (Check::http("/health"), "it has to begin with `http://`"),
        (
            Check::http("ftp://a.example"),
            "it has to begin with `http://`",
        ),
        (Check::http("http://me:secret@a.example"), "does not log in"),
        (
            Check::http("http://localhost:99999/"),
            "no number from 1 to 65535",
        ),
        (
            Check::http("http://localhost:0/"),
            "no number from 1 to 65535",
        ),
        (Check::http("http://a b"), "is no URL of the form"),
        (Check::http(""), "is no URL of the form"),
        (Check::tcp("localhost"), "it has no port"),
        (Check::tcp("localhost:"), "no number from 1 to 65535"),
        (Check::tcp("localhost:0"), "no number from 1 to 65535"),
        (Check::tcp(":80"), "no host"),
        (Check::tcp("http://localhost:80"), "no host"),
        (Check::tcp("::1:80"), "in brackets"),
        (Check::log("(open"), "is no regular expression"),
    ] {
        let error: CheckError = check.expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
    for url in [
        "http://[::1]:80/x",
        "http://a.example",
        "http://a.example:81/?x",
    ] {
        Check::http(url).unwrap();
    }
    for address in ["[::1]:80", "127.0.0.1:1", "a.example:65535"] {
        Check::tcp(address).unwrap();
    }
}
