//! That children which belong together begin in order, also where several threads run them.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{Backoff, LocalBus};
use coord_recovery::{Child, ChildContext, ChildError, ChildSpec, Restart, Strategy, Supervisor};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::stage::{Ran, clock, ends, seconds, serves, within};

const ROUNDS: usize = 300;

/// How many of a group begin that the test has not looked at yet.
const BEGUN_MAX: usize = 16;

/// Who has begun, and in which incarnation.
type Begun = (usize, u32);

struct Group {
    supervisor: Supervisor,
    children: Vec<Child>,
    begin: Sender<Begun>,
    begun: Receiver<Begun>,
    /// Tells those to fail that wait for it.
    fail: Arc<Notify>,
}

impl Group {
    /// Of four, of which this one fails in its first incarnation, and does this in its second.
    fn new(strategy: Strategy, failing: usize, second: fn(ChildContext) -> Ran) -> Self {
        let builder = Supervisor::builder("group").strategy(strategy);
        let builder = builder.intensity(10, seconds(3_600));
        let (begin, begun) = mpsc::channel(BEGUN_MAX);
        let mut group = Self {
            supervisor: builder
                .build(&LocalBus::new(), clock())
                .expect("it is open"),
            children: Vec::new(),
            begin,
            begun,
            fail: Arc::default(),
        };
        for number in 0..4 {
            let fail = Arc::clone(&group.fail);
            group.start(move |context| match context.incarnation() {
                1 if number == failing => {
                    let fail = Arc::clone(&fail);
                    Box::pin(async move {
                        fail.notified().await;
                        Err(ChildError::message("down"))
                    })
                }
                2 if number == failing => second(context),
                _ => serves(context),
            });
        }
        group
    }

    fn start(&mut self, run: impl Fn(ChildContext) -> Ran + Send + 'static) {
        let number = self.children.len();
        let spec = ChildSpec::new(number.to_string())
            .restart(Restart::Transient)
            .backoff(Backoff::constant(Duration::ZERO));
        let begin = self.begin.clone();
        let child = self.supervisor.start(spec, move |context: ChildContext| {
            let (begin, incarnation) = (begin.clone(), context.incarnation());
            let running = run(context);
            async move {
                // In its first poll.
                let told = begin.try_send((number, incarnation));
                told.expect("few begin, and the test waits");
                running.await
            }
        });
        self.children.push(child.expect("it is open"));
    }

    /// The next that begin.
    async fn begun<const N: usize>(&mut self) -> [Begun; N] {
        let mut begun = [(0, 0); N];
        for one in &mut begun {
            *one = within(self.begun.recv()).await.expect("it is held here");
        }
        begun
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_that_are_restarted_together_begin_one_after_the_other() {
    for _ in 0..ROUNDS {
        for failing in [0, 1, 3] {
            let mut group = Group::new(Strategy::OneForAll, failing, serves);
            assert_eq!(group.begun().await, [(0, 1), (1, 1), (2, 1), (3, 1)]);
            group.fail.notify_one();
            assert_eq!(group.begun().await, [(0, 2), (1, 2), (2, 2), (3, 2)]);
        }
        let mut group = Group::new(Strategy::RestForOne, 1, serves);
        assert_eq!(group.begun().await, [(0, 1), (1, 1), (2, 1), (3, 1)]);
        group.fail.notify_one();
        assert_eq!(group.begun().await, [(1, 2), (2, 2), (3, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_that_ends_as_it_begins_the_others_begin_in_order() {
    for _ in 0..ROUNDS {
        let mut group = Group::new(Strategy::OneForAll, 1, ends);
        group.begun::<4>().await;
        group.fail.notify_one();
        assert_eq!(group.begun().await, [(0, 2), (1, 2), (2, 2), (3, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_that_panics_as_it_begins_the_others_begin_in_order_with_it() {
    for _ in 0..ROUNDS {
        let mut group = Group::new(Strategy::OneForAll, 1, |_| {
            Box::pin(async { panic!("as it begins") })
        });
        group.begun::<4>().await;
        group.fail.notify_one();
        // Those after it have not begun yet.
        assert_eq!(group.begun().await, [(0, 2), (1, 2)]);
        assert_eq!(group.begun().await, [(0, 3), (1, 3), (2, 2), (3, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_begin_in_order_while_one_is_stopped_or_restarted_by_hand() {
    for round in 0..ROUNDS {
        let mut group = Group::new(Strategy::OneForAll, 1, serves);
        group.begun::<4>().await;
        group.fail.notify_one();
        let number_by_hand = [0, 2][round / 2 % 2];
        let by_hand = &group.children[number_by_hand];
        if round % 2 == 0 {
            within(by_hand.stop()).await;
        } else {
            by_hand.restart();
        }
        let mut numbers = Vec::new();
        while numbers.last() != Some(&3) {
            let [(number, incarnation)] = group.begun().await;
            // One that is restarted by hand begins when it begins.
            if incarnation == 2 && number != number_by_hand {
                numbers.push(number);
            }
        }
        assert!(numbers.is_sorted(), "{round}: {numbers:?}");
        let report = within(group.supervisor.shutdown(seconds(60))).await;
        assert!(report.aborted.is_empty());
    }
}
