//! Reading the bytes of a workflow file, and no more of them than are wanted; or of standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use coordination::bus::text::nearest;

use super::fault::FileFault;
use super::located::located;
use super::text::printable;
use crate::args::{DEFAULT_FILE, is_word, nearest_command};

/// The largest file that is read, in bytes: room for thousands of steps.
pub(super) const FILE_BYTES_MAX: usize = 1024 * 1024;

/// What stands for standard input on a command line, as for most programs, and what that is called.
const STDIN_ARGUMENT: &str = "-";
const STDIN: &str = "<stdin>";

/// What can be done where there is no file of the usual name.
pub(super) const WRITE_ONE: &str =
    "write one, or name another: `coord run FILE`; `coord help` lists the commands";

/// What a file is called that was asked for.
pub(crate) fn called(path: &Path) -> &Path {
    match path == Path::new(STDIN_ARGUMENT) {
        true => Path::new(STDIN),
        false => path,
    }
}

/// Whether it is called as standard input is, in whichever folder that was read.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == STDIN)
}

/// Reads a file that was asked for.
pub(super) fn read_asked(path: &Path) -> Result<Vec<u8>, FileFault> {
    match path == Path::new(STDIN_ARGUMENT) {
        true => bounded(io::stdin().lock(), |source| FileFault::Unreadable {
            source,
            help: None,
        }),
        false => read(path),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileFault> {
    let unreadable = |source: io::Error| FileFault::Unreadable {
        help: (source.kind() == io::ErrorKind::NotFound)
            .then(|| neighbour(path).or_else(|| instead(path)))
            .flatten(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(FileFault::Directory);
    }
    bounded(file, unreadable)
}

fn bounded(
    file: impl Read,
    unreadable: impl FnOnce(io::Error) -> FileFault,
) -> Result<Vec<u8>, FileFault> {
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that there is more, whatever the file says of its size.
    let bounded = file.take(FILE_BYTES_MAX as u64 + 1);
    { bounded }.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(FileFault::TooLarge {
            max: FILE_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// What there is to say of a name that looks like a command, and where there is no file of the usual name.
fn instead(path: &Path) -> Option<String> {
    let name = path.to_str()?;
    if name == DEFAULT_FILE {
        return Some(WRITE_ONE.to_owned());
    }
    let default = || Some(located(None).ok()?.path);
    is_word(name).then(|| match (default(), nearest_command(name)) {
        (Some(path), _) if has_unit(&path, name) => {
            let path = printable(&path.display().to_string());
            format!("`coord run --only {name}` runs that of {path}, with what it needs")
        }
        (_, Some(command)) => format!("did you mean `coord {command}`?"),
        (_, None) => "`coord help` lists the commands".to_owned(),
    })
}

/// Whether a file has a step or service of this name.
fn has_unit(path: &Path, name: &str) -> bool {
    let text = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text)?;
        Ok(text)
    });
    let file = text.ok().and_then(|text| text.parse::<toml::Table>().ok());
    let units = ["step", "service"].map(|kind| file.as_ref()?.get(kind)?.as_array());
    let mut units = units.into_iter().flatten().flatten();
    units.any(|unit| unit.get("id").and_then(toml::Value::as_str) == Some(name))
}

/// The file in the same folder that is probably meant.
pub(super) fn neighbour(path: &Path) -> Option<String> {
    const LOOKED_AT_MAX: usize = 1_000;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = folder.unwrap_or(Path::new(".")).read_dir().ok()?;
    let names = entries
        .take(LOOKED_AT_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".toml")).collect();
    names.sort_unstable();
    let wrong = path.file_name()?.to_str()?;
    let meant = nearest(wrong, names.iter().map(String::as_str))?;
    let meant = path.with_file_name(meant);
    Some(printable(&format!("did you mean {}?", meant.display())))
}
