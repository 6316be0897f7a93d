//! A model of a topic's settings, millisecond by millisecond.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{Bus, BusExt, LocalBus, Topic};
use coord_optimize::{EventStreamOptimizer, Rate, Settings};
use proptest::prelude::*;
use tokio_stream::StreamExt;

use super::times;
use crate::stage::{cases, gaps, ms, run};

const LINES: Topic<String> = Topic::new("lines").capacity(1024);

/// What is set, in milliseconds.
#[derive(Debug, Clone)]
struct Set {
    size: usize,
    enough: Option<usize>,
    within: u64,
    period: Option<u64>,
    silence: Option<u64>,
    keyed: bool,
    repeats: bool,
    relevant: bool,
}

fn sets() -> impl Strategy<Value = Set> {
    let numbers = (1..6_usize, prop::option::of(1..6_usize), 0..20_u64);
    let times = (prop::option::of(1..20_u64), prop::option::of(1..20_u64));
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    (numbers, times, switches).prop_map(|((size, enough, within), (period, silence), switches)| {
        Set {
            size,
            enough,
            within,
            period,
            silence,
            keyed: switches.0,
            repeats: switches.1,
            relevant: switches.2,
        }
    })
}

fn relevant(line: &str) -> bool {
    !line.ends_with('2')
}

fn key(line: &str) -> &str {
    &line[..1]
}

/// What comes when of lines that come at these times, for a consumer that looks every `pause` milliseconds.
fn model(set: &Set, lines: &[String], times: &[u64], pause: u64) -> Vec<(u64, Vec<String>)> {
    let last = times.last().copied().unwrap_or(0);
    let mut coming = lines.iter().zip(times).peekable();
    let mut topic = VecDeque::new();
    let (mut settling, mut fresh, mut quiet): (Option<&String>, _, _) = (None, false, 0);
    let mut batch = Batch::default();
    let mut given = Vec::new();
    let mut now = 0;
    loop {
        while let Some((line, _)) = coming.next_if(|(_, at)| **at == now) {
            topic.push_back(line);
        }
        // As often as one comes out in this millisecond.
        let looks = now.is_multiple_of(pause);
        loop {
            if !looks {
                break;
            }
            let mut ended = !batch.is_full(set) && now >= last;
            while !batch.is_full(set)
                && let Some(line) = topic.pop_front()
            {
                if set.relevant && !relevant(line) {
                    continue;
                }
                if set.silence.is_none() {
                    batch.admit(set, line, now);
                    continue;
                }
                if !fresh && now > quiet {
                    settling
                        .take()
                        .into_iter()
                        .for_each(|line| batch.admit(set, line, now));
                }
                (settling, fresh) = (Some(line), true);
            }
            // The end is seen by who has taken everything.
            ended &= topic.is_empty() && !batch.is_full(set);
            if std::mem::take(&mut fresh) {
                quiet = now + set.silence.unwrap_or(0);
            }
            if !batch.is_full(set) && (ended || now >= quiet) {
                settling
                    .take()
                    .into_iter()
                    .for_each(|line| batch.admit(set, line, now));
            }
            let enough = batch.lines.len() >= set.enough.unwrap_or(set.size).min(set.size);
            let waits = !enough && !ended && now < batch.due;
            if batch.lines.is_empty() || now < batch.turn || waits {
                break;
            }
            given.push((now, std::mem::take(&mut batch.lines)));
            batch.turn = now + set.period.unwrap_or(0);
        }
        let is_empty = topic.is_empty() && settling.is_none() && batch.lines.is_empty();
        if now >= last && is_empty {
            return given;
        }
        now += 1;
    }
}

#[derive(Default)]
struct Batch {
    lines: Vec<String>,
    last: Option<String>,
    due: u64,
    turn: u64,
}

impl Batch {
    fn is_full(&self, set: &Set) -> bool {
        self.lines.len() >= set.size
    }

    fn admit(&mut self, set: &Set, line: &str, now: u64) {
        if !set.repeats && self.last.as_deref() == Some(line) {
            return;
        }
        self.last = Some(line.to_owned());
        let same = |held: &&mut String| set.keyed && key(held) == key(line);
        if let Some(held) = self.lines.iter_mut().find(same) {
            *held = line.to_owned();
            return;
        }
        if self.lines.is_empty() {
            self.due = now + set.within;
        }
        self.lines.push(line.to_owned());
    }
}

/// What comes when, to a consumer that waits, or that looks every `pause` milliseconds.
fn seen(set: &Set, lines: &[String], gaps: &[u64], pause: Option<u64>) -> Vec<(u64, Vec<String>)> {
    let patience = pause.map_or(Duration::MAX, |_| Duration::ZERO);
    let mut settings = Settings::<String>::new()
        .buffer_size(set.size)
        .within(ms(set.within));
    settings = settings.rate_limit(set.period.map(|period| Rate::every(ms(period))));
    settings = settings.debounce(set.silence.map(ms));
    if let Some(enough) = set.enough {
        settings = settings.enough(enough);
    }
    if set.keyed {
        settings = settings.merge_by(|line| key(line));
    }
    if !set.repeats {
        settings = settings.drop_repeats();
    }
    if set.relevant {
        settings = settings.relevant(|line| relevant(line));
    }
    run(async {
        let bus = Arc::new(LocalBus::new());
        let publisher = bus.publisher(&LINES).unwrap();
        let optimizer = EventStreamOptimizer::new(bus.clone());
        optimizer.configure(&LINES, settings).unwrap();
        let mut batches = optimizer.subscribe(&LINES).unwrap();
        let begin = Instant::now();
        let publishing = async {
            for (line, gap) in lines.iter().zip(gaps) {
                if *gap > 0 {
                    time::sleep(ms(*gap)).await;
                }
                publisher.publish(line.clone()).await.unwrap();
            }
            bus.close();
        };
        let reading = async {
            let mut seen = Vec::new();
            loop {
                match time::timeout(patience, batches.next()).await {
                    Ok(Some(batch)) => {
                        let lines = batch.iter().map(|line| line.to_string());
                        seen.push((begin.elapsed().as_millis() as u64, lines.collect()));
                    }
                    Ok(None) => return seen,
                    Err(_) => time::sleep(ms(pause.unwrap_or(0))).await,
                }
            }
        };
        // What is published in a moment comes before what becomes due in it.
        let ((), seen) = tokio::join!(biased; publishing, reading);
        seen
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_comes_of_a_topic_and_when_is_what_the_model_says(
        gaps in gaps(), set in sets(), lines in prop::collection::vec("[ab][123]", 60),
        pause in 2..30_u64,
    ) {
        let lines = &lines[..gaps.len()];
        let times = times(&gaps);
        let always = model(&set, lines, &times, 1);
        prop_assert_eq!(&seen(&set, lines, &gaps, None), &always, "waits");
        prop_assert_eq!(&seen(&set, lines, &gaps, Some(1)), &always, "cancelled");
        let late = model(&set, lines, &times, pause);
        prop_assert_eq!(&seen(&set, lines, &gaps, Some(pause)), &late, "late");
    }
}
