//! Reads a pipe line by line.

use std::io;

use coord_bus::CancellationToken;
use tokio::task::yield_now;

use super::lines::{Line, Lines};
use super::pipe::{CHUNK, Pipe};

/// The lines that come through a pipe. It reads only when it is asked for a line, so that the pipe
/// of a slow reader fills up and the process waits.
#[derive(Debug)]
pub(super) struct LineReader {
    pipe: Pipe,
    lines: Lines,
    chunk: Vec<u8>,
    /// How much of the chunk has become lines.
    used: usize,
    is_over: bool,
    /// How often it has read.
    reads: u64,
}

impl LineReader {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
            lines: Lines::default(),
            chunk: Vec::with_capacity(CHUNK),
            used: 0,
            is_over: false,
            reads: 0,
        }
    }

    /// How often it has read: lines between which this is the same came at once.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// The next line; `None` when no more come. For `closed`, see [`Pipe::read`].
    pub(super) async fn next(&mut self, closed: &CancellationToken) -> io::Result<Option<Line>> {
        loop {
            let mut rest = &self.chunk[self.used..];
            let line = self.lines.next(&mut rest);
            self.used = self.chunk.len() - rest.len();
            if line.is_some() {
                return Ok(line);
            }
            if self.is_over {
                return Ok(self.lines.finish());
            }
            // A process that prints without pause leaves room for others, and for its own end,
            // long before tokio would make it do so.
            yield_now().await;
            self.used = 0;
            self.pipe.read(&mut self.chunk, closed).await?;
            self.is_over = self.chunk.is_empty();
            self.reads += 1;
        }
    }
}
