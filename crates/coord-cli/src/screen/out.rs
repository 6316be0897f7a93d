//! Standard output, buffered, with the colours that are allowed there.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};

use anstream::{AutoStream, ColorChoice};

use super::page::say_to;
use crate::exit_code::ExitCode;

/// Colours and all are written to it; it lets through what is allowed.
pub(crate) type Out = BufWriter<AutoStream<Box<dyn Write + Send>>>;

/// Enough for some hundred lines, so that a burst of them is a few writes.
const BUFFER: usize = 64 * 1024;

pub(crate) fn out(color: ColorChoice) -> Out {
    out_to(io::stdout(), color)
}

/// The same for JSON, which goes through as it is: it has no control characters for a terminal to act upon. What is
/// told on standard error has the colours that are allowed.
pub(super) fn out_of_json(told: ColorChoice) -> Out {
    out_as(io::stdout(), ColorChoice::AlwaysAnsi, told)
}

/// Prints a text as it is, on standard output.
pub(crate) fn print_whole(text: &[u8]) -> ExitCode {
    let mut out = out(ColorChoice::Auto);
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}

/// The same, by way of something that changes what is written.
pub(super) fn out_to(way: impl Write + Send + 'static, color: ColorChoice) -> Out {
    let choice = match color {
        ColorChoice::Auto => AutoStream::choice(&io::stdout()),
        said => said,
    };
    out_as(way, choice, color)
}

fn out_as(way: impl Write + Send + 'static, choice: ColorChoice, color: ColorChoice) -> Out {
    // What takes the colours out writes what is between them piece by piece.
    let telling = Telling {
        way,
        color,
        has_told: false,
    };
    let pieces = Box::new(BufWriter::with_capacity(BUFFER, telling));
    BufWriter::with_capacity(BUFFER, AutoStream::new(pieces, choice))
}

/// Says on standard error why nothing can be written, once; where its reader is gone, there is nobody who
/// does not know.
struct Telling<W> {
    way: W,
    color: ColorChoice,
    has_told: bool,
}

/// An error of which that was said.
#[derive(Debug)]
struct Told(io::Error);

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Told {}

impl<W> Telling<W> {
    fn told<T>(&mut self, written: io::Result<T>) -> io::Result<T> {
        written.map_err(|error| match error.kind() {
            // Who writes tries again after an interruption.
            ErrorKind::BrokenPipe | ErrorKind::Interrupted | ErrorKind::WouldBlock => error,
            kind => {
                if !std::mem::replace(&mut self.has_told, true) {
                    say_to(
                        self.color,
                        &format!("the output cannot be written: {error}"),
                    );
                }
                io::Error::new(kind, Told(error))
            }
        })
    }
}

impl<W: Write> Write for Telling<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.way.write(bytes);
        self.told(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.way.flush();
        self.told(flushed)
    }
}

/// Whether nothing more is to be said of output that cannot be written: that was told, or its reader is gone.
pub(crate) fn is_told(error: &io::Error) -> bool {
    let is_told = match error.get_ref() {
        Some(inner) => inner.is::<Told>(),
        None => false,
    };
    is_told || error.kind() == ErrorKind::BrokenPipe
}
