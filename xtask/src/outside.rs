//! Packages outside the workspace, built from what `cargo package` makes of its crates: one that
//! depends on a single crate, one on the facade with two features, and a program for each feature,
//! which is run with it alone and refused by the compiler without it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, cargo, run};
use crate::workspace::{self, Workspace};

/// Where the packages lie, and where the programs for the features are.
const SOURCES: &str = "outside";
const PARTS: &str = "outside/parts/src/bin";

pub(crate) const FACADE: &str = "coordination";

/// In a program, what the compiler says where its feature is off, and the feature that is on then, where what
/// it needs is a part of that.
const WITHOUT: &str = "// without: ";
const BESIDE: &str = "// beside: ";

/// A program for a feature.
struct Part {
    answer: String,
    beside: Option<String>,
}

pub(crate) fn check() -> Result<(), String> {
    let workspace = workspace::read()?;
    let place = set_out(&workspace)?;
    let target = &workspace.target_directory;
    let mut failures = Vec::new();
    for package in ["one-crate", "two-features"] {
        let mut command = outside(&place, target, "run");
        failures.extend(run(command.args(["--package", package])).err());
    }
    let parts = parts()?;
    let features = features_of_the_facade(&workspace);
    let features = features.filter(|feature| !["default", "full"].contains(feature));
    for feature in features.filter(|feature| !parts.contains_key(*feature)) {
        failures.push(format!(
            "{PARTS} has no program for the feature `{feature}`"
        ));
    }
    for (feature, part) in parts {
        let mut with = outside(&place, target, "run");
        let with = with.args(["--package", "parts", "--bin", &feature]);
        failures.extend(run(with.args(["--features", &feature])).err());
        let mut without = outside(&place, target, "check");
        let without = without.args(["--package", "parts", "--bin", &feature]);
        without.args(part.beside.iter().flat_map(|beside| ["--features", beside]));
        failures.extend(refused(without, &feature, &part.answer).err());
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n          ")),
    }
}

/// A command there, which shares with the workspace what it has built of others' crates.
fn outside(place: &Path, target: &Path, subcommand: &str) -> Command {
    let mut command = cargo(subcommand);
    command.args(["--quiet", "--profile", "ci", "--manifest-path"]);
    command.arg(place.join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    command
}

/// Whether a program uses this feature of the facade, and is run with it alone.
pub(crate) fn runs_alone(feature: &str) -> bool {
    Path::new(PARTS).join(format!("{feature}.rs")).exists()
}

/// The features of the facade that are to be asked for.
fn features_of_the_facade(workspace: &Workspace) -> impl Iterator<Item = &str> {
    let facade = workspace.packages.iter();
    let facade = facade.filter(|package| package.name == FACADE);
    let features = facade.flat_map(|package| package.features.keys());
    features
        .map(String::as_str)
        .filter(|feature| !feature.starts_with('_'))
}

/// Each feature with its program.
fn parts() -> Result<BTreeMap<String, Part>, String> {
    let mut parts = BTreeMap::new();
    for path in entries(Path::new(PARTS))? {
        let text = read(&path)?;
        let line = |begin| text.lines().find_map(|line| line.strip_prefix(begin));
        let answer = line(WITHOUT);
        let answer = answer.ok_or_else(|| {
            let path = path.display();
            format!("{path} has no line `{WITHOUT}…` that says what the compiler answers")
        })?;
        let feature = path.file_stem().unwrap_or_default().to_string_lossy();
        let part = Part {
            answer: answer.to_owned(),
            beside: line(BESIDE).map(str::to_owned),
        };
        parts.insert(feature.into_owned(), part);
    }
    Ok(parts)
}

/// Whether the compiler refuses a program, and says this.
fn refused(command: &mut Command, feature: &str, answer: &str) -> Result<(), String> {
    let output = command.output();
    let output = output.map_err(|error| format!("cannot start cargo: {error}"))?;
    if output.status.success() {
        return Err(format!(
            "{PARTS}/{feature}.rs is compiled without `{feature}`"
        ));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match said.contains(answer) {
        true => Ok(()),
        false => Err(format!(
            "{PARTS}/{feature}.rs without `{feature}`: the compiler does not say \"{answer}\", but\n{said}"
        )),
    }
}

/// Packs the crates, and lays the packages beside them, with the workspace's lock file and profiles.
fn set_out(workspace: &Workspace) -> Result<PathBuf, String> {
    let place = workspace.target_directory.join(SOURCES);
    let crates: Vec<_> = workspace
        .packages
        .iter()
        .filter(|package| package.manifest_path.starts_with("crates"))
        .filter(|package| package.name != "coord-cli")
        .map(|package| (package.name.as_str(), package.version.as_str()))
        .collect();
    let mut pack = cargo("package --quiet --no-verify --allow-dirty --exclude-lockfile");
    for (name, _) in &crates {
        pack.args(["--package", name]);
    }
    run(&mut pack)?;
    // What is from another time is not to be built.
    if place.exists() {
        remove(&place)?;
    }
    copy(Path::new(SOURCES), &place)?;
    let mut manifest = read(&Path::new(SOURCES).join("Cargo.toml"))?;
    manifest.push_str("\n[patch.crates-io]\n");
    for (name, version) in &crates {
        let packed = format!("{name}-{version}");
        let from = workspace.target_directory.join("package");
        let from = from.join(format!("{packed}.crate"));
        run(Command::new("tar")
            .arg("xzf")
            .arg(from)
            .arg("-C")
            .arg(&place))?;
        refuse_warnings(&place.join(&packed).join("Cargo.toml"))?;
        let _ = writeln!(manifest, "{name} = {{ path = {packed:?} }}");
    }
    let root = read(Path::new("Cargo.toml"))?;
    let profiles = root.find("[profile.").map_or("", |at| &root[at..]);
    manifest.push_str(profiles);
    write(&place.join("Cargo.toml"), &manifest)?;
    write(&place.join("Cargo.lock"), &read(Path::new("Cargo.lock"))?)?;
    Ok(place)
}

/// Makes of each warning in a crate a failure, as the one that a feature alone gives is seen nowhere else.
fn refuse_warnings(manifest: &Path) -> Result<(), String> {
    const LINTS: &str = "[lints.rust]\n";
    let text = read(manifest)?;
    if !text.contains(LINTS) {
        let manifest = manifest.display();
        return Err(format!(
            "{manifest} has no {LINTS:?} to which warnings could be added"
        ));
    }
    write(
        manifest,
        &text.replace(LINTS, &format!("{LINTS}warnings = \"deny\"\n")),
    )
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let made = fs::create_dir_all(to);
    made.map_err(|error| format!("cannot make {}: {error}", to.display()))?;
    for path in entries(from)? {
        let to = to.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => copy(&path, &to)?,
            false => write(&to, &read(&path)?)?,
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), String> {
    fs::remove_dir_all(folder)
        .map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    entries
        .map(|entry| Ok(entry.map_err(unreadable)?.path()))
        .collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What each feature of the facade adds to a program that has none: crates, and time to compile.
pub(crate) fn table(meant: &[String]) -> Result<(), String> {
    let workspace = workspace::read()?;
    let features = features_of_the_facade(&workspace);
    let features = features.filter(|feature| match meant.is_empty() {
        true => *feature != "default",
        false => meant.iter().any(|meant| meant == feature),
    });
    let (crates, time) = costs(&workspace, "")?;
    println!(
        "| feature | crates | added | a clean `cargo check`, processor time |\n|---|---|---|---|"
    );
    println!("| none | {crates} | | {time:.0} s |");
    for feature in features {
        let (all, time) = costs(&workspace, feature)?;
        println!("| `{feature}` | {all} | {} | {time:.0} s |", all - crates);
    }
    Ok(())
}

fn costs(workspace: &Workspace, features: &str) -> Result<(usize, f64), String> {
    let with = [
        "--package",
        FACADE,
        "--no-default-features",
        "--features",
        features,
    ];
    let mut tree = cargo("tree --edges normal,build --prefix none --no-dedupe --format {p}");
    let listed = command::output(tree.args(with))?;
    let listed = String::from_utf8_lossy(&listed);
    let crates: std::collections::BTreeSet<_> = listed.lines().collect();
    let clean = workspace.target_directory.join("costs");
    if clean.exists() {
        // Of a run that was stopped.
        remove(&clean)?;
    }
    let mut check = cargo("check --quiet");
    check.args(with).arg("--target-dir").arg(&clean);
    let before = spent_by_children()?;
    run(&mut check)?;
    let time = spent_by_children()? - before;
    remove(&clean)?;
    Ok((crates.len(), time))
}

/// The processor time of what this process has started, and waited for, in seconds. Unlike time on the clock it
/// says the same, or nearly, while the machine has other work.
fn spent_by_children() -> Result<f64, String> {
    let stat = read(Path::new("/proc/self/stat"))?;
    // After the name, which may have anything in it, the fourteenth and fifteenth: in user and in system mode, in
    // hundredths of a second.
    let spent = stat.rsplit_once(") ").and_then(|(_, rest)| {
        let mut ticks = rest.split(' ').skip(13).map(str::parse::<f64>);
        Some(ticks.next()?.ok()? + ticks.next()?.ok()?)
    });
    let spent = spent.ok_or("/proc/self/stat does not say what children have taken")?;
    Ok(spent / 100.0)
}
