//! `coord completions` and `coord man`: what is known of the command line, for shells and readers.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use crate::args::{Args, Color, CompletionsArgs, ManArgs};
use crate::complete;
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::screen;
use crate::validate::refuse;

/// Prints what makes a shell complete.
pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    match complete::write_script(args.shell, &mut script) {
        Ok(()) => screen::print_whole(&script),
        Err(_) => ExitCode::OutputLost,
    }
}

/// Prints the manual page, or writes all of them.
pub(crate) fn man(args: &ManArgs) -> ExitCode {
    let command = <Args as CommandFactory>::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        return match clap_mangen::Man::new(command).render(&mut page) {
            Ok(()) => screen::print_whole(&page),
            Err(_) => ExitCode::OutputLost,
        };
    };
    match write_all(command, dir) {
        Ok(()) => ExitCode::Done,
        Err(error) => {
            let report = miette::miette!(
                help = "name a directory that you may write to",
                "the manual pages cannot be written to {}: {error}",
                printable(&dir.display().to_string()),
            );
            refuse(Color::Auto, &report)
        }
    }
}

fn write_all(command: clap::Command, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MANUAL: &str = include_str!("../../../docs/coord.md");

    fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
        let arguments = command.get_arguments();
        let shown = arguments.filter(|argument| !argument.is_hide_set());
        found.extend(shown.filter_map(|argument| argument.get_long().map(str::to_owned)));
        let shown = command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set());
        shown.for_each(|inner| flags(inner, found));
    }

    #[test]
    fn the_manual_names_every_flag_and_no_other() {
        let mut known = BTreeSet::new();
        flags(&<Args as CommandFactory>::command(), &mut known);
        let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        let told = MANUAL.split("--").skip(1).filter_map(|rest| {
            let end = rest.find(|letter| !is_of_name(letter));
            let name = &rest[..end.unwrap_or(rest.len())];
            // Lines of tables are dashes, too.
            name.starts_with(|first: char| first.is_ascii_lowercase())
                .then(|| name.to_owned())
        });
        assert_eq!(known, told.collect());
    }
}
