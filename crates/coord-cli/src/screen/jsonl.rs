//! One event a line, for programs: `{"topic": …, "event": …}`, told in `docs/coord.md`.

use std::io::{self, Write};

use serde::Serialize;

use super::out::Out;

#[derive(Serialize)]
struct Line<'e, E> {
    topic: &'static str,
    event: &'e E,
}

pub(super) fn line<E: Serialize>(out: &mut Out, topic: &'static str, event: &E) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line { topic, event })?;
    out.write_all(b"\n")
}
