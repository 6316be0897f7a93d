//! The pictures of the README and of the tour of `coord`: real runs in a terminal, drawn as SVG at
//! the moment when there is most to be seen.

mod svg;

use std::fs;
use std::io::{Read, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, open};
use vt100::{Parser, Screen};

use crate::command::{cargo, run};
use crate::workspace;

/// Where the files are that the tour runs: in blocks that begin with their names.
const TOUR: &str = "docs/coord-tour.md";
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).expect("not 0");
/// Longer than a run takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is drawn.
struct Picture {
    path: &'static str,
    /// For those who cannot see it.
    label: &'static str,
    /// The file that is run: the shipped one, or one of the tour.
    file: &'static str,
    rows: NonZeroU16,
    /// What is printed after a run of it, in place of its screen: the arguments of `coord`.
    printed: &'static [&'static str],
    /// Keys that are typed once the screen is there.
    keys: &'static [u8],
    /// What all of the screen shows at that moment.
    moment: &'static [&'static str],
}

const PICTURES: [Picture; 5] = [
    // The service is up again, and a step is tried once more.
    Picture {
        path: "docs/coord.svg",
        label: "coord runs a workflow with a service",
        file: "coord.toml",
        rows: NonZeroU16::new(22).expect("not 0"),
        printed: &[],
        keys: b"",
        moment: &["ready x2", "run 3/3", "crashed"],
    },
    Picture {
        path: "docs/coord-tour-run.svg",
        label: "coord runs site.toml: two steps are done, two run side by side, two wait",
        file: "site.toml",
        rows: NonZeroU16::new(18).expect("not 0"),
        printed: &[],
        keys: b"",
        moment: &["2 of 6 over", "running"],
    },
    Picture {
        path: "docs/coord-tour-time.svg",
        label: "coord runs site.toml: what each step took, as bars in time",
        file: "site.toml",
        rows: NonZeroU16::new(18).expect("not 0"),
        printed: &[],
        keys: b"lll",
        moment: &["5 of 6 over", " time "],
    },
    Picture {
        path: "docs/coord-tour-logs.svg",
        label: "coord logs prints what the steps of site.toml have printed, each line behind its step",
        file: "site.toml",
        rows: NonZeroU16::new(18).expect("not 0"),
        printed: &["logs"],
        keys: b"",
        moment: &["published"],
    },
    Picture {
        path: "docs/coord-tour-failure.svg",
        label: "fails.toml has failed: deploy at its second attempt, and migrate is undone",
        file: "fails.toml",
        rows: NonZeroU16::new(18).expect("not 0"),
        printed: &[],
        keys: b"",
        moment: &["undone", "failed", "q leave"],
    },
];

/// Runs `coord` and draws its screens.
pub(crate) fn draw() -> Result<(), String> {
    // What is drawn is the same however fast it is, and the tests have built this one.
    run(&mut cargo("build --profile ci --package coord-cli"))?;
    let target = workspace::read()?.target_directory;
    let coord = target.join("ci/coord");
    let folder = target.join("pictures");
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let tour = fs::read_to_string(TOUR).map_err(|error| failed(TOUR.as_ref(), error))?;
    let shipped = fs::read_to_string("coord.toml");
    let shipped = shipped.map_err(|error| failed("coord.toml".as_ref(), error))?;
    for picture in &PICTURES {
        let text = match picture.file {
            "coord.toml" => Some(&*shipped),
            name => of_the_tour(&tour, name),
        };
        let text = text.ok_or_else(|| format!("{TOUR} has no file {}", picture.file))?;
        let file = folder.join(picture.file);
        fs::write(&file, text).map_err(|error| failed(&file, error))?;
        let screen = moment(picture, &coord, &folder)?;
        fs::write(picture.path, svg::svg(&screen, picture.label))
            .map_err(|error| failed(picture.path.as_ref(), error))?;
        println!("{} is drawn; look at it", picture.path);
    }
    Ok(())
}

/// The file of this name in the tour, which says its name in its first line.
fn of_the_tour<'t>(tour: &'t str, name: &str) -> Option<&'t str> {
    let blocks = tour.split("```toml\n").skip(1);
    let mut files = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    files.find(|file| file.lines().next() == Some(&format!("# {name}")))
}

/// A run to its end, of which nothing is seen.
fn ran(picture: &Picture, coord: &Path, folder: &Path) -> Result<(), String> {
    let mut command = std::process::Command::new(coord);
    command
        .args(["run", picture.file, "--output=json"])
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"));
    let ran = command.output().map_err(|error| error.to_string())?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
    }
}

/// The last screen of a run on which all is shown that makes the moment.
fn moment(picture: &Picture, coord: &Path, folder: &Path) -> Result<Screen, String> {
    let failed = |error: &dyn std::fmt::Display| format!("no terminal for the picture: {error}");
    let (mut pty, pts) = open().map_err(|error| failed(&error))?;
    let size = Size::new(picture.rows.get(), COLUMNS.get());
    pty.resize(size).map_err(|error| failed(&error))?;
    let mut parser = Parser::new(picture.rows, COLUMNS, 0);
    let command = Command::new(coord);
    let command = match picture.printed {
        [] => command.args(["run", picture.file]),
        printed => {
            ran(picture, coord, folder)?;
            parser.process(format!("$ coord {}\r\n", printed.join(" ")).as_bytes());
            command.args(printed)
        }
    };
    let command = command
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR");
    let mut child = command.spawn(pts).map_err(|error| failed(&error))?;
    let mut best = None;
    let mut typed = false;
    let mut bytes = [0; 64 * 1024];
    let begin = Instant::now();
    while let Ok(read @ 1..) = pty.read(&mut bytes) {
        parser.process(&bytes[..read]);
        let text = parser.screen().contents();
        // A screen that is half drawn is not taken: the last one of the moment is.
        if picture.moment.iter().all(|wanted| text.contains(wanted)) {
            best = Some(parser.screen().clone());
        }
        let keys = match typed {
            false if text.contains("steps and services") => picture.keys,
            _ => b"",
        };
        typed |= !keys.is_empty();
        pty.write_all(keys).map_err(|error| failed(&error))?;
        // After a failure the screen stays until somebody leaves it; a `q` ends a run that goes on
        // for too long, too, with all that it runs.
        let is_over = best.is_some() && text.contains("q leave");
        if is_over || begin.elapsed() > PATIENCE {
            let _ = pty.write_all(b"qqq");
        }
    }
    child.wait().map_err(|error| failed(&error))?;
    best.ok_or_else(|| {
        format!(
            "no moment of the run of {} shows all of {:?}",
            picture.file, picture.moment
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_of_the_tour_is_of_one_of_its_files_and_shown_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tour = fs::read_to_string(root.join(TOUR)).unwrap();
        for picture in PICTURES
            .iter()
            .filter(|picture| picture.file != "coord.toml")
        {
            assert!(
                of_the_tour(&tour, picture.file).is_some(),
                "{}",
                picture.file
            );
            let (_, name) = picture.path.split_once('/').unwrap();
            assert!(tour.contains(&format!("]({name})")), "{name}");
            assert!(root.join(picture.path).is_file(), "{name}");
        }
    }
}
