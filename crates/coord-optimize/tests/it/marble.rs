//! Marbles: streams written down as they are in RxJS's tests.
//!
//! A character is a millisecond. `-` is one in which nothing happens, a letter is an item that comes
//! in it, `(ab)` are two that come in the same one, `|` is the end. Spaces are for the eye. What is
//! in brackets takes one millisecond here, not as many as it has characters.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use coord_bus::time::{self, Instant, Sleep};
use tokio_stream::Stream;

use crate::stage::{ms, run};

/// Items with the millisecond in which each comes, and that of the end.
struct Marbles {
    items: VecDeque<(u64, char)>,
    end: Option<u64>,
}

fn read(text: &str) -> Marbles {
    let mut marbles = Marbles {
        items: VecDeque::new(),
        end: None,
    };
    let (mut now, mut together) = (0, false);
    for character in text.chars().filter(|character| *character != ' ') {
        match character {
            '-' => {}
            '(' => together = true,
            ')' => together = false,
            '|' => marbles.end = Some(now),
            item => marbles.items.push_back((now, item)),
        }
        if !together {
            now += 1;
        }
    }
    marbles
}

/// A stream of what is written; its time begins with its first poll.
pub(crate) struct Source {
    marbles: Marbles,
    begin: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Source {
    fn new(text: &str) -> Self {
        Self {
            marbles: read(text),
            begin: Instant::now(),
            sleep: Box::pin(time::sleep(ms(0))),
        }
    }
}

impl Stream for Source {
    type Item = char;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<char>> {
        let item = self.marbles.items.front().copied();
        let Some(at) = item.map(|item| item.0).or(self.marbles.end) else {
            return Poll::Pending;
        };
        let deadline = self.begin + ms(at);
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.marbles.items.pop_front();
        Poll::Ready(item.map(|item| item.1))
    }
}

/// Checks what an operator makes of a source. In what is expected a letter is an item as `show`
/// writes it, and several are an item in `[]`: `-[ab]`. No source in these tests lasts longer than a
/// second.
#[track_caller]
pub(crate) fn check<S: Stream>(
    source: &str,
    operator: impl FnOnce(Source) -> S,
    show: impl Fn(S::Item) -> String,
    expected: &str,
) {
    let seen = run(async {
        let begin = Instant::now();
        let mut stream = pin!(operator(Source::new(source)));
        let mut seen = Vec::new();
        let watch = poll_fn(|cx| {
            loop {
                let now = begin.elapsed().as_millis() as u64;
                match ready!(stream.as_mut().poll_next(cx)) {
                    Some(item) => seen.push((now, show(item))),
                    None => return Poll::Ready(now),
                }
            }
        });
        let end = time::timeout(ms(1000), watch).await;
        write(&seen, end.ok())
    });
    let expected: String = expected.chars().filter(|c| *c != ' ').collect();
    assert_eq!(seen, expected, "from {source}");
}

/// Writes down what came, as [`read`] reads it.
fn write(seen: &[(u64, String)], end: Option<u64>) -> String {
    let mut text = String::new();
    let last = end.or(seen.last().map(|item| item.0));
    for now in 0..=last.unwrap_or(0) {
        let items = seen.iter().filter(|item| item.0 == now);
        let mut items: Vec<_> = items.map(|item| item.1.as_str()).collect();
        if end == Some(now) {
            items.push("|");
        }
        match &items[..] {
            [] => text.push('-'),
            [item] => text.push_str(item),
            items => text.push_str(&format!("({})", items.concat())),
        }
    }
    text
}

/// One item, as it is.
pub(crate) fn one(item: char) -> String {
    item.to_string()
}

/// Several items.
pub(crate) fn several(items: Vec<char>) -> String {
    format!("[{}]", items.into_iter().collect::<String>())
}

#[test]
fn marbles_are_read_and_written_alike() {
    for text in ["|", "a|", "-a-(bc)-|", "--(a|)", "a-b", "-"] {
        check(text, |source| source, one, text);
    }
}
