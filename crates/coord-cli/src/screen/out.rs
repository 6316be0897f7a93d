//! Standard output, buffered, with the colours that are allowed there.

use std::io::{self, BufWriter, Stdout};

use anstream::{AutoStream, ColorChoice};

/// Colours and all are written to it; it lets through what is allowed.
pub(crate) type Out = BufWriter<AutoStream<Stdout>>;

/// Enough for some hundred lines, so that a burst of them is a few writes.
const BUFFER: usize = 64 * 1024;

pub(crate) fn out(color: ColorChoice) -> Out {
    BufWriter::with_capacity(BUFFER, AutoStream::new(io::stdout(), color))
}
