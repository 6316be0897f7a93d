//! Reports as text, as JSON and as a page.

use coord_bus::{BusExt, SubscribeOptions, Topic};
use coord_monitor::{History, Page, Report, Series, Span, SpanKind, Unit};
use serde_json::json;

use crate::stage::{Stage, TICKS, completed, finished, millis, pass, seconds, started};

async fn busy() -> Stage {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let named = SubscribeOptions::new().named("slow <reader>");
    // It stays subscribed, and never reads.
    std::mem::forget(stage.bus.subscribe_with(&TICKS, named));
    pass(millis(1)).await;
    for second in 1..=8 {
        stage.publish(&TICKS, second * 10);
        latency.record(millis(1), millis(second.into()));
        stage.tell(started("compile")).await;
        stage
            .tell(completed("compile", seconds(second.into())))
            .await;
        pass(seconds(1)).await;
    }
    stage.tell(finished("completed", seconds(8))).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn the_text_tells_topics_with_a_line_of_rates_and_who_is_behind() {
    let report = busy().await.monitor.generate_report().to_string();
    let line = |start: &str| {
        let mut lines = report.lines();
        lines
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {report}"))
    };
    assert!(line("ticks  ").contains("360"), "{report}");
    assert!(line("ticks  ").ends_with("▂▃▄▅▅▆▇█"), "{report}");
    assert!(line("slow <reader> ← ticks").contains("360"), "{report}");
    assert!(line("build/compile").contains("4.5 s"), "{report}");
    assert!(line("LATENCY").contains("QUEUED P50") || line("LATENCY").contains("queued p50"));
    assert!(
        !report.contains("PROCESSES") && !report.contains("ALERTS"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_line_of_a_report_obeys_what_a_name_says_to_a_terminal() {
    let stage = Stage::new();
    stage
        .tell(completed("\u{1b}[2J\u{202e}red\n", seconds(1)))
        .await;
    let report = stage.monitor.generate_report();
    let text = report.to_string();
    assert!(
        !text.contains('\u{1b}') && text.contains("build/\\u{1b}[2J\\u{202e}red\\n"),
        "{text}"
    );
    assert!(!report.to_html("A run").contains(['\u{1b}', '\u{202e}']));
}

#[tokio::test(start_paused = true)]
async fn a_report_is_json_that_can_be_read_back() {
    let report = busy().await.monitor.generate_report();
    let json = report.to_json();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(read.metrics.topics, report.metrics.topics);
    assert_eq!(read.history, report.history);
    assert_eq!(read.to_json(), json);
}

#[tokio::test(start_paused = true)]
async fn the_page_needs_nothing_besides_and_is_for_light_and_dark() {
    let page = busy()
        .await
        .monitor
        .generate_report()
        .to_html("Nightly <run>");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<title>Nightly &lt;run&gt;</title>"));
    assert!(page.contains("prefers-color-scheme: dark"));
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("slow &lt;reader&gt; ← ticks") && !page.contains("<reader>"));
    for chart in [
        "Events published",
        "Events behind",
        "From publication",
        "Resident memory",
    ] {
        assert!(page.contains(&format!("<h2>{chart}")), "{chart}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_nothing_of_has_no_chart_and_no_table() {
    const IDLE: Topic<u32> = Topic::new("idle");
    let stage = Stage::new();
    stage.publish(&IDLE, 0);
    pass(millis(1)).await;
    let page = stage.monitor.generate_report().to_html("Idle");
    assert!(!page.contains("<svg") && !page.contains("<table"), "{page}");
    pass(seconds(3)).await;
    let page = stage.monitor.generate_report().to_html("Idle");
    assert!(page.contains("Resident memory"));
    assert!(!page.contains("Events published") && !page.contains("Events behind"));
}

#[tokio::test(start_paused = true)]
async fn long_tables_end_with_how_many_rows_are_left_out() {
    let stage = Stage::new();
    for number in 0..40 {
        stage.publish(&TICKS.with_name(format!("topic.{number}")), 1);
    }
    let text = stage.monitor.generate_report().to_string();
    assert!(text.contains("and 15 more topics"), "{text}");
    assert_eq!(text.matches("topic.").count(), 25);
}

#[test]
fn a_chart_of_latencies_has_the_longest_of_each_topic_before_any_median() {
    let at = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"];
    let page = |topics: usize| {
        let latencies = (1..=topics).map(|topic| {
            json!({ "topic": format!("t{topic}"), "p50": [0.001, null], "p99": [null, topic] })
        });
        let history = json!({
            "at": at, "memory_bytes": [1, 1], "cpu_percent": [1.0, 1.0],
            "processes_memory_bytes": [0, 0], "processes_cpu_percent": [0.0, 0.0],
            "topics": [], "latencies": latencies.collect::<Vec<_>>(),
        });
        let history: History = serde_json::from_value(history).unwrap();
        Page::new("Latency", "").history(&history).to_string()
    };
    for (topics, drawn, left_out) in [
        (2, &["t1 p50", "t1 p99", "t2 p50", "t2 p99"][..], &[][..]),
        (
            3,
            &["t1 p99", "t2 p50", "t2 p99", "t3 p50", "t3 p99"],
            &["t1 p50"],
        ),
        (7, &["t3 p99", "t7 p99"], &["t7 p50", "t2 p99"]),
    ] {
        let page = page(topics);
        let is_drawn = |line: &&str| page.contains(&format!("<title>{line}</title>"));
        assert!(drawn.iter().all(is_drawn), "{drawn:?}: {page}");
        assert!(!left_out.iter().any(is_drawn), "{left_out:?}: {page}");
    }
}

#[test]
fn a_page_as_text_has_its_figures_its_charts_as_lines_and_its_tables() {
    let spans = [
        Span::new("first", "1 s", (0.0, 1.0), SpanKind::Good),
        Span::new("at once", "0 s", (4.0, 4.0), SpanKind::Bad),
    ];
    let values = (0..72).map(|at| (at >= 36).then_some(2.0));
    let page = Page::new("Build", "run 7")
        .tile("steps", "17")
        .tile("failed", "1\u{1b}[2J")
        .chart(
            "Load",
            Unit::Percent,
            ("22:00", "22:01"),
            vec![
                Series::new("cpu", values.collect()),
                Series::new("none", vec![None]),
            ],
        )
        .spans("Ran", 4.0, &spans)
        .table(
            "Steps",
            &["step", "took"],
            &[vec!["compile".into(), "40 s".into()]],
        )
        .note("That is all.");
    let expected = format!(
        "Build: run 7\nsteps: 17 · failed: 1\\u{{1b}}[2J\n\n\
         LOAD                   from 22:00 to 22:01  last  most\n\
         cpu   {}{}   2 %   2 %\n\n\
         RAN\n\
         first    {}{}  1 s\n\
         at once  {}█  0 s\n\n\
         STEPS    took\n\
         compile  40 s\n\
         That is all.\n",
        "▁".repeat(18),
        "█".repeat(18),
        "█".repeat(9),
        "·".repeat(27),
        "·".repeat(35),
    );
    assert_eq!(page.to_text(), expected);
}

#[test]
fn a_column_of_a_page_is_of_words_where_a_cell_begins_with_a_letter() {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let rows = [
        row(["lint", "", "2 s", "–"]),
        row(["build", "failed", "", "3"]),
    ];
    let heads = ["step", "state", "took", "attempts"];
    let page = Page::new("A run", "").table("Steps", &heads, &rows);
    let page = page.to_string();
    for line in [
        "<th>step</th><th class=words>state</th><th>took</th><th>attempts</th>",
        "<td>lint</td><td class=words></td><td>2 s</td><td>–</td>",
        "<td>build</td><td class=words>failed</td><td></td><td>3</td>",
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[test]
fn a_page_of_parts_escapes_what_they_say_and_leaves_out_what_is_empty() {
    let page = Page::new("<&>", "\"it's\"")
        .tile("<i>", "<b>")
        .chart(
            "Load",
            Unit::Percent,
            ("<", ">"),
            vec![
                Series::new("<cpu>", vec![Some(1.0), None, Some(f64::NAN), Some(3.0)]),
                Series::new("none", vec![None]),
            ],
        )
        .chart(
            "Nothing",
            Unit::Count,
            ("", ""),
            vec![Series::new("none", vec![None])],
        )
        .spans(
            "Steps",
            10.0,
            &[Span::new("<step>", "2 s", (1.0, 3.0), SpanKind::Good)],
        )
        .spans("None", 10.0, &[])
        .table("Table", &["<heads>"], &[vec!["<cell>".to_owned()]])
        .table("Empty", &["head"], &[])
        .note("<note>")
        .to_string();
    for escaped in [
        "<&>", "<cpu>", "<step>", "<heads>", "<cell>", "<note>", "<i><", "Nothing", "None",
        "Empty", "NaN",
    ] {
        assert!(!page.contains(escaped), "{escaped} in {page}");
    }
    assert!(page.contains("&lt;&amp;&gt;") && page.contains("&quot;it&#39;s&quot;"));
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.contains("x=100.0 y=1 width=200.0"), "{page}");
}
