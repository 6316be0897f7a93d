//! Standard output, buffered, with the colours that are allowed there.

use std::io::{self, BufWriter, Write};

use anstream::{AutoStream, ColorChoice};

/// Colours and all are written to it; it lets through what is allowed.
pub(crate) type Out = BufWriter<AutoStream<Box<dyn Write + Send>>>;

/// Enough for some hundred lines, so that a burst of them is a few writes.
const BUFFER: usize = 64 * 1024;

pub(crate) fn out(color: ColorChoice) -> Out {
    out_to(io::stdout(), color)
}

/// The same, by way of something that changes what is written.
pub(super) fn out_to(way: impl Write + Send + 'static, color: ColorChoice) -> Out {
    let choice = match color {
        ColorChoice::Auto => AutoStream::choice(&io::stdout()),
        said => said,
    };
    // What takes the colours out writes what is between them piece by piece.
    let pieces = Box::new(BufWriter::with_capacity(BUFFER, way));
    BufWriter::with_capacity(BUFFER, AutoStream::new(pieces, choice))
}
