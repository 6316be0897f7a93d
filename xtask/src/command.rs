//! Runs other programs from the root of the workspace, and says which one failed.

use std::env;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Moves to the root of the workspace, where every path that xtask prints begins.
pub(crate) fn enter_workspace() -> Result<(), String> {
    // Read as it runs: two checkouts that share a target folder share this program.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("cargo did not start this program; start it as `cargo xtask`")?;
    let root = Path::new(&manifest).join("..");
    env::set_current_dir(&root)
        .map_err(|error| format!("cannot enter the workspace at {}: {error}", root.display()))
}

/// The cargo that runs xtask, with a subcommand and its arguments split at spaces.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace());
    command
}

/// Prints the command, runs it to its end, and fails where it failed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    println!("$ {line}");
    let status = command
        .status()
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` ended with {status}"))
    }
}

/// What the command writes to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let line = line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("`{line}` ended with {}", output.status))
    }
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        let _ = write!(line, "{}={value:?} ", name.to_string_lossy());
    }
    let program = Path::new(command.get_program());
    line.push_str(&program.file_stem().unwrap_or_default().to_string_lossy());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/opt/bin/cargo");
        command
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--no-deps"]);
        assert_eq!(
            line(&command),
            r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps"#
        );
    }

    #[test]
    fn a_failed_command_is_named_with_its_status() {
        let error = run(&mut cargo("no-such-subcommand")).unwrap_err();
        assert!(
            error.contains("`cargo no-such-subcommand` ended with exit status: 101"),
            "{error}"
        );
    }
}
