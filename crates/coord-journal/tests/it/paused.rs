//! A journal under a clock that a test has paused, which goes on as soon as nothing on the runtime has anything to do.

use std::task::Poll;
use std::time::Duration;

use crate::stage::{Stage, numbers};
use coord_bus::time::{Instant, sleep, timeout};
use coord_bus::{EventLog, ExpectedVersion, Lease};

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn nothing_that_a_journal_does_takes_any_time_of_a_clock_that_a_test_has_paused() {
    let (stage, began) = (Stage::new(), Instant::now());
    let journal = stage.open();
    for version in 1..=20 {
        let append = numbers("a", ExpectedVersion::Exactly(version - 1), [version]);
        let appended = timeout(MOMENT, journal.append(append)).await.unwrap();
        assert_eq!(appended.unwrap().version, version);
        let read = timeout(MOMENT, journal.read("a", version, 1)).await;
        assert_eq!(read.unwrap().unwrap().len(), 1);
        let name = format!("lease-{version}");
        let acquired = timeout(MOMENT, journal.acquire(&name, "me", MOMENT)).await;
        acquired.unwrap().unwrap();
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_for_what_it_has_begun_to_read_holds_no_time_up() {
    let stage = Stage::new();
    let journal = stage.open();
    let append = numbers("a", ExpectedVersion::Empty, [1]);
    journal.append(append).await.unwrap();
    let mut tail = journal.tail("a", 1).unwrap();
    let begun = std::future::poll_fn(|cx| Poll::Ready(tail.as_mut().poll_next(cx)));
    // It may be there already.
    let _ = begun.await;
    let hour = Duration::from_secs(3600);
    let began = Instant::now();
    sleep(hour).await;
    assert_eq!(began.elapsed(), hour);
}
