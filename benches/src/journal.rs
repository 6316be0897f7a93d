//! What a durable append costs beside a bare file that does the least there is to do, and what a
//! million finished streams cost those who do not ask for them.

mod bare_file;
mod append;
mod finished;

pub(crate) use bare_file::BareFile;

pub(crate) fn run(part: Option<&str>) {
    match part {
        Some("append") => append::run(),
        Some("finished") => finished::run(),
        _ => {
            append::run();
            finished::run();
        }
    }
}

/// A directory on the disk of the temporary ones, which goes with the value.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is room for a directory")
}
