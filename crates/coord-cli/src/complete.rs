//! What a shell is told when somebody presses tab: `coord` itself answers, in the process that the script of
//! `coord completions SHELL` starts.
//!
//! The engine is that of `clap_complete`, which asks the same definition of the command line as everything else.
//! `offered` is that definition without what is hidden, with what values there are of its arguments; `line` is
//! what is typed; `bash` and `zsh` are those for which the engine has no good
//! script.

mod bash;
mod line;
mod offered;
mod values;
mod zsh;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap_complete::CompleteEnv;
use clap_complete::Shell;
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Shells};

use crate::args::Color;
use crate::exit_code::ExitCode;
use crate::screen;
use bash::Bash;
use line::Line;
use zsh::Zsh;

/// The variable by which the program knows that a shell asks, and which one.
const VARIABLE: &str = "COORD_COMPLETE";
const PROGRAM: &str = "coord";

const SHELLS: Shells<'static> = Shells(&[&Bash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Answers a shell, if one asks: what fits what is typed, or nothing, and nothing else. Whoever presses tab wants
/// no errors between the words of a command line.
pub(crate) fn answer() -> Option<ExitCode> {
    let shell = env::var_os(VARIABLE).filter(|shell| !shell.is_empty() && shell != "0")?;
    let mut args: Vec<OsString> = env::args_os().collect();
    let begin = args.iter().position(|arg| arg == "--");
    let asked = args.split_off(begin.map_or(args.len(), |begin| begin + 1));
    let typed = match Path::new(&shell).file_stem() {
        Some(name) if name == Bash.name() => {
            args.extend_from_slice(&asked);
            bash::typed(&asked)
        }
        _ => {
            let typed = line::typed(&asked);
            args.extend_from_slice(&typed.words);
            typed
        }
    };
    let line = Arc::new(Line::of(typed));
    let engine = CompleteEnv::with_factory(|| offered::offered(&line))
        .var(VARIABLE)
        .bin(PROGRAM)
        .shells(SHELLS);
    let is_answered = engine.try_complete(args, env::current_dir().ok().as_deref());
    Some(match is_answered {
        Ok(_) => ExitCode::Done,
        Err(error) => {
            // No word is completed: somebody asks for the script.
            if asked.is_empty() {
                screen::say(Color::Auto, &error.to_string());
            }
            ExitCode::Usage
        }
    })
}

/// Writes what a shell reads, so that it asks this program.
pub(crate) fn write_script(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    let name = shell.to_string();
    let shell = SHELLS.completer(&name);
    let shell = shell.ok_or(io::ErrorKind::Unsupported)?;
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, &asked_program(), out)
}

/// The program, as it was called: found by its name where that was enough, or else where it is.
fn asked_program() -> String {
    let called = env::args_os().next().map(PathBuf::from);
    let called = called.unwrap_or_else(|| PROGRAM.into());
    let is_found = called.components().count() > 1;
    let called = match env::current_dir() {
        Ok(here) if is_found => here.join(called),
        _ => called,
    };
    called.to_string_lossy().into_owned()
}

/// Writes a script of ours, with what it has to know.
fn write_filled(
    script: &str,
    [variable, program, completer]: [&str; 3],
    out: &mut dyn Write,
) -> io::Result<()> {
    let completer = shlex::try_quote(completer).map_err(io::Error::other)?;
    let script = script.replace("VARIABLE", variable);
    let script = script.replace("PROGRAM", program);
    out.write_all(script.replace("COMPLETER", &completer).as_bytes())
}
