//! A thread that is there before it is wanted: where the system gives no more of them, nothing has begun yet.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that waits for work. Dropped without, it ends.
pub(crate) struct SpareThread(Sender<Work>);

impl SpareThread {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let (give, given) = channel::<Work>();
        let work = move || {
            if let Ok(work) = given.recv() {
                work();
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self(give))
    }

    /// Has it do something. The receiver gets what comes of that.
    pub(crate) fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, is_done) = oneshot::channel();
        // It waits for as long as this is there, and nobody may wait any more for what it has done.
        let _ = self.0.send(Box::new(move || drop(done.send(work()))));
        is_done
    }
}
