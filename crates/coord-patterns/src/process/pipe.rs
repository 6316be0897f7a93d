//! One of the two pipes through which a process's output comes.

use std::io::{self, PipeWriter};

use coord_bus::CancellationToken;
use rustix::buffer::spare_capacity;
use rustix::io::{ioctl_fionbio, ioctl_fionread, read};
use tokio::net::unix::pipe::Receiver;

/// How much is read at once: all that a pipe holds on Linux.
pub(super) const CHUNK: usize = 64 * 1024;

/// The end of a pipe that is read.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: Receiver,
    /// How much is still to be read, once nobody writes any more.
    left: Option<u64>,
}

impl Pipe {
    /// A pipe, and its end for the process.
    pub(super) fn new() -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        // Of this end alone: the process's own stays as programs expect it.
        ioctl_fionbio(&reader, true)?;
        let reader = Receiver::from_owned_fd_unchecked(reader.into())?;
        Ok((Self { reader, left: None }, writer))
    }

    /// Reads into `chunk`, instead of what is in it. It stays empty once nothing more comes.
    ///
    /// When `closed` is cancelled, what the pipe holds at that time is still read. Its end is not
    /// waited for then: a process that has left its group may keep it open for ever.
    pub(super) async fn read(
        &mut self,
        chunk: &mut Vec<u8>,
        closed: &CancellationToken,
    ) -> io::Result<()> {
        chunk.clear();
        let left = match self.left {
            Some(left) => left,
            None => tokio::select! {
                biased;
                () = closed.cancelled() => ioctl_fionread(&self.reader)?,
                filled = self.fill(chunk) => return filled,
            },
        };
        let read = match left {
            0 => 0,
            _ => read(&self.reader, spare_capacity(chunk))?,
        };
        self.left = Some(left.saturating_sub(read as u64));
        Ok(())
    }

    async fn fill(&self, chunk: &mut Vec<u8>) -> io::Result<()> {
        loop {
            self.reader.readable().await?;
            let mut fill = || Ok(read(&self.reader, spare_capacity(chunk))?);
            match self.reader.try_io(&mut fill) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return filled.map(drop::<usize>),
            }
        }
    }
}
