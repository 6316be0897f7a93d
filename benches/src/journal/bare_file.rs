//! The least that can be called durable: a file, a thread that writes what waits and syncs it once.
//!
//! It knows no streams, no versions, no readers and no checksums, and finds nothing again.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

const PIECE: usize = 64 * 1024;

type Waiting = (Vec<u8>, oneshot::Sender<()>);

pub(crate) struct BareFile {
    queue: Option<mpsc::Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

impl BareFile {
    /// A file that has so many zeros (a multiple of 64 KiB), on the disk, which are overwritten from the beginning.
    pub(crate) fn create(path: &Path, length: usize) -> Self {
        let mut file = File::create_new(path).unwrap();
        // In pieces: the system keeps a file in its memory as it was written, and looks through a piece for each sync.
        for _ in 0..length / PIECE {
            file.write_all(&[0; PIECE]).unwrap();
        }
        file.sync_all().unwrap();
        file.rewind().unwrap();
        let (queue, waiting) = mpsc::channel(2_048);
        Self {
            queue: Some(queue),
            thread: Some(std::thread::spawn(move || run(file, waiting))),
        }
    }

    pub(crate) async fn append(&self, record: Vec<u8>) {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().unwrap();
        queue.send((record, reply)).await.unwrap();
        answer.await.unwrap();
    }
}

fn run(mut file: File, mut waiting: mpsc::Receiver<Waiting>) {
    let (mut batch, mut bytes) = (Vec::new(), Vec::new());
    while waiting.blocking_recv_many(&mut batch, 1_024) > 0 {
        bytes.clear();
        for (record, _) in &batch {
            bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        for (_, reply) in batch.drain(..) {
            let _ = reply.send(());
        }
    }
}

impl Drop for BareFile {
    fn drop(&mut self) {
        self.queue = None;
        self.thread.take().unwrap().join().unwrap();
    }
}
