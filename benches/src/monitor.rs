//! What it costs to be monitored: one latency recorded, the bus at full speed, a large snapshot.

mod recording;
mod beside;
mod snapshot;

pub(crate) fn run(part: Option<&str>) {
    let parts: [(&str, fn()); 3] = [
        ("recording", recording::run),
        ("beside", beside::run),
        ("snapshot", snapshot::run),
    ];
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run();
        }
    }
}
