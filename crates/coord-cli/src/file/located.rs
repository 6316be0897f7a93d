//! Where the workflow file is: what is named, or else that of this folder, or of the nearest above that has one.

use std::env;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::fault::FileFault;
use super::faults::FileFaults;
use super::read::{WRITE_ONE, neighbour};
use super::text::{Text, printable};
use crate::args::DEFAULT_FILE;

/// A workflow file that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) path: PathBuf,
    /// Whether nobody has named it, and it is not in this folder.
    pub(crate) is_above: bool,
}

/// Why there is none above.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The root has none either.
    Root,
    /// Nothing is known of this folder and of what is above it.
    Closed(PathBuf),
    /// This one is of somebody else, who may want to have something run.
    Foreign(PathBuf),
}

/// The file that is named, or else the nearest of the usual name.
///
/// # Errors
///
/// None is named, and there is none: with where it was looked for.
pub(crate) fn located(named: Option<&Path>) -> Result<Located, FileFaults> {
    let here = |path: &Path| Located {
        path: path.to_owned(),
        is_above: false,
    };
    if let Some(named) = named {
        return Ok(here(named));
    }
    let default = Path::new(DEFAULT_FILE);
    let Err(source) = fs::symlink_metadata(default) else {
        return Ok(here(default));
    };
    let (true, Ok(folder)) = (source.kind() == io::ErrorKind::NotFound, env::current_dir()) else {
        return Ok(here(default));
    };
    let own = fs::metadata(&folder).ok().map(|folder| folder.uid());
    let trusted = [Some(0), Some(geteuid().as_raw()), own];
    let end = match above(&folder, |path| fs::metadata(path), &trusted) {
        Ok(path) => {
            let is_above = true;
            return Ok(Located { path, is_above });
        }
        Err(end) => end,
    };
    let help = neighbour(default).unwrap_or_else(|| end.help(&folder));
    let help = Some(help);
    let fault = FileFault::Unreadable { source, help };
    Err(FileFaults::one(Text::new(default, b""), fault))
}

/// The nearest file of the usual name in the folders above.
fn above(
    folder: &Path,
    look: impl Fn(&Path) -> io::Result<Metadata>,
    trusted: &[Option<u32>],
) -> Result<PathBuf, End> {
    for above in folder.ancestors().skip(1) {
        let path = above.join(DEFAULT_FILE);
        match look(&path) {
            Ok(found) if found.is_file() && trusted.contains(&Some(found.uid())) => {
                return Ok(path);
            }
            Ok(found) if found.is_file() => return Err(End::Foreign(path)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(End::Closed(above.to_owned())),
        }
    }
    Err(End::Root)
}

impl End {
    /// Where it was looked for, and what can be done.
    fn help(&self, folder: &Path) -> String {
        let folder = folder.display();
        let where_to = match self {
            Self::Root => format!("there is none in {folder}, nor in a folder above it"),
            Self::Closed(above) => format!(
                "there is none in {folder}, nor above it up to {}, which may not be looked into",
                above.display()
            ),
            Self::Foreign(path) => format!(
                "there is none in {folder}, and {} belongs to another user: it is run where it is named",
                path.display()
            ),
        };
        printable(&format!("{where_to}; {WRITE_ONE}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who the file is of that stands for what is found.
    fn me() -> [Option<u32>; 1] {
        let found = fs::metadata(env!("CARGO_MANIFEST_PATH"));
        [found.ok().map(|found| found.uid())]
    }

    /// A file at one place, and none at others.
    fn only(found: &'static str) -> impl Fn(&Path) -> io::Result<Metadata> {
        move |path| match path == Path::new(found) {
            true => fs::metadata(env!("CARGO_MANIFEST_PATH")),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn the_nearest_above_is_found_also_at_the_root() {
        let folder = Path::new("/a/b/c");
        for found in ["/a/b/coord.toml", "/coord.toml"] {
            assert_eq!(above(folder, only(found), &me()), Ok(found.into()));
        }
        assert_eq!(
            above(folder, only("/a/b/c/coord.toml"), &me()),
            Err(End::Root)
        );
    }

    #[test]
    fn it_is_not_looked_for_above_a_folder_that_may_not_be_looked_into() {
        let look = |path: &Path| match path == Path::new("/a/coord.toml") {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => only("/coord.toml")(path),
        };
        let end = above(Path::new("/a/b/c"), look, &me()).expect_err("it is above");
        assert_eq!(end, End::Closed("/a".into()));
        let help = end.help(Path::new("/a/b/c"));
        assert!(help.contains("up to /a, which may not"), "{help}");
    }

    #[test]
    fn one_of_somebody_else_is_not_taken_unasked() {
        let found = above(Path::new("/a/b"), only("/a/coord.toml"), &[]);
        let end = found.expect_err("it is of nobody who is trusted");
        assert_eq!(end, End::Foreign("/a/coord.toml".into()));
        let help = end.help(Path::new("/a/b"));
        assert!(
            help.contains("/a/coord.toml belongs to another user"),
            "{help}"
        );
    }

    #[test]
    fn what_is_named_is_taken_as_it_is() {
        let named = Path::new("nowhere/coord.toml");
        let located = located(Some(named)).expect("it is named");
        assert_eq!((&*located.path, located.is_above), (named, false));
    }
}
