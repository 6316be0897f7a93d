//! What processes print, as events.

use coord_bus::vocabulary::{Exit, OutputStream, ProcessState};
use coord_patterns::process::{MAX_LINE, ProcessSpec, Secrets, Stop};

use crate::stage::{Stage, ended};

#[tokio::test]
async fn each_stream_is_marked() {
    let mut stage = Stage::new();
    let run = stage.start(
        ProcessSpec::shell("both", "echo out; echo err >&2"),
        &Stop::default(),
    );
    ended(run).await.unwrap();
    let mut printed = Vec::new();
    while let Ok(event) = stage.output.try_recv() {
        printed.push((event.stream, event.line.clone()));
    }
    assert_eq!(printed.len(), 2);
    assert!(printed.contains(&(OutputStream::Stdout, "out".to_owned())));
    assert!(printed.contains(&(OutputStream::Stderr, "err".to_owned())));
}

#[tokio::test]
async fn the_last_line_needs_no_end() {
    let (_, lines) = Stage::new().shell("printf 'one\\ntwo'").await;
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn a_progress_bar_is_a_line_for_each_of_its_states() {
    let (_, lines) = Stage::new()
        .shell("printf '\\r1 %%\\r2 %%\\r\\ndone\\r\\n'")
        .await;
    assert_eq!(lines, ["1 %", "2 %", "done"]);
}

#[tokio::test]
async fn what_is_not_utf_8_is_replaced() {
    let (_, lines) = Stage::new().shell("printf 'a\\377b\\303'").await;
    assert_eq!(lines, ["a�b�"]);
}

#[tokio::test]
async fn colours_stay_and_what_would_move_the_cursor_goes() {
    let script = "printf '\\033[1;31mred\\033[0m\\033[2J\\033[H\\033]0;title\\007!\\n'";
    let (_, lines) = Stage::new().shell(script).await;
    assert_eq!(lines, ["\x1b[1;31mred\x1b[0m!"]);
}

#[tokio::test]
async fn a_line_comes_while_the_process_still_runs() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let run = stage.start(
        ProcessSpec::shell("serve", "echo ready; exec sleep 1000"),
        &stop,
    );
    assert_eq!(stage.line().await, "ready");
    assert!(!run.is_finished());
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(15));
}

#[tokio::test]
async fn all_output_has_been_published_before_the_end_is() {
    let mut stage = Stage::new();
    let _run = stage.start(
        ProcessSpec::shell("count", "seq 1 1000; seq 1 20 >&2"),
        &Stop::default(),
    );
    while !matches!(stage.state().await, ProcessState::Exited(_)) {}
    assert_eq!(stage.printed().len(), 1020);
}

#[tokio::test]
async fn a_process_that_closes_its_output_is_still_seen_to_its_end() {
    let mut stage = Stage::new();
    let (exit, lines) = stage.shell("echo last; exec >&- 2>&-; exit 6").await;
    assert_eq!((exit, lines), (Exit::code(6), vec!["last".to_owned()]));
}

#[tokio::test]
async fn secrets_reach_a_process_and_not_what_it_prints() {
    let mut stage = Stage::new();
    let secrets =
        Secrets::new([("KEY", "first of key\nsecond of key"), ("TOKEN", "t0ken")]).unwrap();
    // Piece by piece, on both streams, and at the end without a newline.
    let line = "printf t0; sleep 0.01; echo 'ken.'; echo \"$KEY\" >&2; test \"$TOKEN\" = t0ken && printf $TOKEN";
    let spec = ProcessSpec::shell("tells", line).secrets(secrets);
    let exit = ended(stage.start(spec, &Stop::default())).await.unwrap();
    assert!(exit.is_success());
    let mut printed = stage.printed();
    printed.sort();
    assert_eq!(printed, ["***", "***", "***", "***."]);
}

#[tokio::test]
async fn a_secret_is_found_where_a_long_line_comes_in_parts() {
    let mut stage = Stage::new();
    let secrets = Secrets::new([("TOKEN", "t0ken")]).unwrap();
    // It lies across the place where the line is cut.
    let line = format!(
        "head -c {} /dev/zero | tr '\\0' a; echo t0ken!",
        MAX_LINE - 2
    );
    let spec = ProcessSpec::shell("long", line).secrets(secrets);
    ended(stage.start(spec, &Stop::default())).await.unwrap();
    let printed = stage.printed().concat();
    assert_eq!(printed.len(), MAX_LINE - 2 + "***!".len());
    assert!(printed.ends_with("a***!"), "{}", &printed[MAX_LINE - 10..]);
}
