//! `coord completions` and `coord man`: what is known of the command line, for shells and readers.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;

use crate::args::{Args, Color, CompletionsArgs, ManArgs};
use crate::exit_code::ExitCode;
use crate::validate::refuse;

/// Prints what makes a shell complete.
pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut <Args as CommandFactory>::command(),
        "coord",
        &mut script,
    );
    print(&script)
}

/// Prints the manual page, or writes all of them.
pub(crate) fn man(args: &ManArgs) -> ExitCode {
    let command = <Args as CommandFactory>::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        return match clap_mangen::Man::new(command).render(&mut page) {
            Ok(()) => print(&page),
            Err(_) => ExitCode::OutputLost,
        };
    };
    match write_all(command, dir) {
        Ok(()) => ExitCode::Done,
        Err(error) => {
            let report = miette::miette!(
                help = "name a directory that you may write to",
                "the manual pages cannot be written to {}: {error}",
                dir.display(),
            );
            refuse(Color::Auto, &report)
        }
    }
}

fn write_all(command: clap::Command, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}

fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}
