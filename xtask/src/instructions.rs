//! How many instructions the hot paths take, beside those that the repository remembers: a count is
//! the same on a slow machine and on a busy one, so a change of it is a change of the code.

mod counts;
mod valgrind;

use std::fs;
use std::path::Path;

use crate::command::{self, cargo, run as run_command};
use crate::workspace;
use counts::Counts;
pub(crate) use valgrind::provide;

/// What the repository remembers, from the root of the workspace.
const REMEMBERED: &str = "benches/instructions.toml";

/// How often a case runs: enough that what is done once a hundred times counts as it should.
const TIMES: u64 = 10_000;

/// Counts the instructions of every case, and either compares them with those remembered or
/// remembers them.
pub(crate) fn run(accept: bool) -> Result<(), String> {
    valgrind::check()?;
    let counts = count()?;
    if accept {
        print!("{}", counts.to_toml());
        return fs::write(REMEMBERED, counts.to_toml())
            .map_err(|error| format!("cannot write {REMEMBERED}: {error}"));
    }
    let text = fs::read_to_string(REMEMBERED)
        .map_err(|error| format!("cannot read {REMEMBERED}: {error}"))?;
    let remembered =
        Counts::parse(&text).map_err(|error| format!("cannot understand {REMEMBERED}: {error}"))?;
    let comparison = counts.compare(&remembered);
    print!("{}", comparison.table);
    if comparison.faults == 0 {
        return Ok(());
    }
    Err(format!(
        "{} of these are not what {REMEMBERED} remembers. To see where the instructions of a CASE \
         are: `valgrind --tool=callgrind --callgrind-out-file=callgrind.out PROGRAM CASE {TIMES}`, \
         then `callgrind_annotate callgrind.out`, where PROGRAM is {}. If the change is worth \
         them: `cargo xtask instructions --accept`",
        comparison.faults,
        program()?.display(),
    ))
}

/// The program that runs the cases, and names them when it is given none.
fn program() -> Result<std::path::PathBuf, String> {
    Ok(workspace::read()?
        .target_directory
        .join("release/instructions"))
}

fn count() -> Result<Counts, String> {
    run_command(&mut cargo(
        "build --release --package coord-benches --no-default-features --bin instructions",
    ))?;
    let program = program()?;
    let cases = command::output(&mut std::process::Command::new(&program))?;
    let cases = String::from_utf8_lossy(&cases);
    let counts = cases.lines().map(|case| {
        let count = one_time(&program, case)?;
        Ok((case.to_owned(), count))
    });
    counts.collect::<Result<_, String>>().map(Counts)
}

/// What one time more costs: whatever is done but once does not count.
fn one_time(program: &Path, case: &str) -> Result<u64, String> {
    let few = valgrind::count(program, case, TIMES)?;
    let many = valgrind::count(program, case, 2 * TIMES)?;
    let difference = many
        .checked_sub(few)
        .ok_or_else(|| format!("`{case}` takes fewer instructions the more often it runs"))?;
    Ok((difference + TIMES / 2) / TIMES)
}
