//! Ten steps in a row that do nothing, in Restate: a peer of `cargo xtask bench durable`.
//!
//! `restate-peer ROLE DIR COUNT AT_ONCE BEFORE`, where ROLE is `run` (to their ends, after so many before that are
//! not counted; prints the seconds that took), `halve` (until each has done five steps; prints a line then, and waits to be killed), or
//! `resume` (what a `halve` left, to their ends). Its server is the program that `RESTATE_SERVER` names; it
//! keeps what it has in DIR, and dies with this.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use restate_sdk::prelude::*;
use tokio::process::{Child, Command};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

static HALVES: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Steps;

#[restate_sdk::service]
impl Steps {
    #[handler]
    async fn ten(&self, context: Context<'_>, mut number: u64) -> HandlerResult<u64> {
        for step in 0..10 {
            if step == 5 && std::env::var_os("HALVES").is_some() {
                if HALVES.fetch_add(1, Ordering::SeqCst) + 1 == COUNT.load(Ordering::SeqCst) {
                    println!("halved");
                }
                std::future::pending::<()>().await;
            }
            number = context
                .run(|| async move { Ok::<_, HandlerError>(number + 1) })
                .await?;
        }
        Ok(number)
    }
}

/// The ports of one peer: the same for who halves and who resumes, as the server remembers them.
struct Ports {
    service: u16,
    ingress: u16,
    admin: u16,
    node: u16,
}

impl Ports {
    fn of(dir: &Path) -> Outcome<Self> {
        let file = dir.join("ports");
        let ports: Vec<u16> = match std::fs::read_to_string(&file) {
            Ok(text) => text.split(' ').map(str::parse).collect::<Result<_, _>>()?,
            Err(_) => {
                // Bound all at once, so that they differ.
                let listeners: Vec<_> = (0..4)
                    .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
                    .collect::<Result<_, _>>()?;
                let ports = listeners
                    .iter()
                    .map(|listener| Ok(listener.local_addr()?.port()));
                ports.collect::<Outcome<_>>()?
            }
        };
        let text: Vec<String> = ports.iter().map(u16::to_string).collect();
        std::fs::write(file, text.join(" "))?;
        let [service, ingress, admin, node] = ports[..] else {
            return Err("four ports".into());
        };
        Ok(Self {
            service,
            ingress,
            admin,
            node,
        })
    }

    fn ingress(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}/{rest}", self.ingress)
    }
}

async fn server(dir: &Path, ports: &Ports) -> Outcome<Child> {
    // One that was killed with its peer may take a moment to be gone.
    for port in [ports.ingress, ports.admin, ports.node] {
        while std::net::TcpListener::bind(("127.0.0.1", port)).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let program = std::env::var_os("RESTATE_SERVER").ok_or("RESTATE_SERVER names no program")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command.arg("--base-dir").arg(dir.join("restate"));
    command.args(["--node-name", "bench"]);
    for (name, port) in [
        ("RESTATE_BIND_ADDRESS", ports.node),
        ("RESTATE_INGRESS__BIND_ADDRESS", ports.ingress),
        ("RESTATE_ADMIN__BIND_ADDRESS", ports.admin),
    ] {
        command.env(name, format!("127.0.0.1:{port}"));
    }
    command
        .env(
            "RESTATE_ADVERTISED_ADDRESS",
            format!("http://127.0.0.1:{}", ports.node),
        )
        .env("RESTATE_LISTEN_MODE", "tcp")
        .env("RESTATE_DISABLE_TELEMETRY", "true")
        .env("RESTATE_LOG_FILTER", "error");
    let log = std::fs::File::create(dir.join("server.log"))?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command.stdin(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// Asks until there is an answer that is none of a server which is not ready.
async fn until_answered(
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Outcome<reqwest::Response> {
    let begun = Instant::now();
    loop {
        match request().send().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) if begun.elapsed() > Duration::from_secs(60) => {
                return Err(response.text().await?.into());
            }
            Err(error) if begun.elapsed() > Duration::from_secs(60) => return Err(error.into()),
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, role, dir, numbers @ ..] = &arguments[..] else {
        panic!("restate-peer ROLE DIR COUNT AT_ONCE BEFORE");
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|number| number.parse())
        .collect::<Result<_, _>>()?;
    let [count, at_once, before] = numbers[..] else {
        panic!("restate-peer ROLE DIR COUNT AT_ONCE BEFORE");
    };
    COUNT.store(count, Ordering::SeqCst);
    let ports = Ports::of(Path::new(dir))?;
    let client = reqwest::Client::new();
    let endpoint = Endpoint::builder().bind(Steps).build();
    let address = format!("127.0.0.1:{}", ports.service).parse()?;
    tokio::spawn(HttpServer::new(endpoint).listen_and_serve(address));
    let mut server = server(Path::new(dir), &ports).await?;

    if role == "resume" {
        for run in 0..count {
            let attach = ports.ingress(&format!("restate/invocation/Steps/ten/run-{run}/attach"));
            let result = until_answered(|| client.get(&attach)).await?;
            assert_eq!(result.json::<u64>().await?, 10);
        }
    } else {
        let uri = format!("http://{address}");
        let register = || {
            let admin = format!("http://127.0.0.1:{}/deployments", ports.admin);
            client.post(admin).json(&serde_json::json!({ "uri": uri }))
        };
        until_answered(register).await?;
        // A first run, which is not counted, once there is a way to it.
        if role == "run" {
            let first = ports.ingress("Steps/ten");
            until_answered(|| client.post(&first).json(&0)).await?;
        }
        take(&client, &ports, "before", before, at_once).await?;
        let elapsed = take(&client, &ports, "run", count, at_once).await?;
        println!("{}", elapsed.as_secs_f64());
    }
    server.kill().await?;
    Ok(())
}

/// How long so many runs take.
async fn take(
    client: &reqwest::Client,
    ports: &Ports,
    name: &'static str,
    count: usize,
    at_once: usize,
) -> Outcome<Duration> {
    let start = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..at_once {
        let (client, invoke) = (client.clone(), ports.ingress("Steps/ten"));
        writers.push(tokio::spawn(async move {
            for run in (writer..count).step_by(at_once) {
                let request = || {
                    let request = client.post(&invoke).json(&0);
                    request.header("idempotency-key", format!("{name}-{run}"))
                };
                let result = until_answered(request).await.unwrap();
                assert_eq!(result.json::<u64>().await.unwrap(), 10);
            }
        }));
    }
    for writer in writers {
        writer.await?;
    }
    Ok(start.elapsed())
}
