//! The command line as it is offered: without what is hidden, and with what values there are.

use std::ffi::OsStr;
use std::sync::Arc;

use clap::{Arg, Command, CommandFactory};
use clap_complete::{ArgValueCompleter, CompletionCandidate};

use super::line::Line;
use super::values;
use crate::args::Args;

/// What values there are that begin with what is typed of one.
type Values = fn(&Line, &OsStr) -> Vec<CompletionCandidate>;

/// The command line as it is offered.
pub(super) fn offered(line: &Arc<Line>) -> Command {
    let mut program = <Args as CommandFactory>::command();
    // So that it has the flags and the command for help, too.
    program.build();
    of(&program, line, line.has_commands)
}

fn of(command: &Command, line: &Arc<Line>, has_commands: bool) -> Command {
    let name = command.get_name();
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let arguments = arguments.map(|arg| {
        // The engine shows what is hidden where nothing else fits: flags come once a `-` is typed.
        let mut offered = arg.clone().hide(!arg.is_positional());
        if matches!(arg.get_id().as_str(), "help" | "version") {
            offered = offered.display_order(usize::MAX);
        }
        let Some(values) = values_of(name, arg) else {
            return offered;
        };
        let line = Arc::clone(line);
        offered.add(ArgValueCompleter::new(move |typed: &OsStr| {
            values(&line, typed)
        }))
    });
    let commands = command.get_subcommands();
    let commands = commands.filter(|inner| has_commands && !inner.is_hide_set());
    let about = command.get_about().cloned().unwrap_or_default();
    // The program ends with its answer.
    Command::new(&*name.to_owned().leak())
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .allow_missing_positional(command.is_allow_missing_positional_set())
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(arguments)
        .subcommands(commands.map(|inner| of(inner, line, true)))
}

/// Where the values of an argument come from, if they are not in its definition.
fn values_of(command: &str, argument: &Arg) -> Option<Values> {
    let values: Values = match (command, argument.get_id().as_str()) {
        ("graph", "file") => values::files_and_runs,
        (_, "file") => values::files,
        (_, "only") => values::steps_of_file,
        ("coord" | "run" | "graph", "from") => values::steps_of_file,
        (_, "params") => values::params,
        (_, "profile") => values::profiles,
        ("why", "run") => values::runs_and_steps,
        (_, "run" | "before") => values::runs,
        ("retry", "from") | (_, "step") => values::steps_of_run,
        ("signal", "name") => values::signals,
        ("explain", "code") => values::codes,
        (_, "journal" | "dir") => values::folders,
        _ => return None,
    };
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nothing can be offered for, or what the engine knows by itself: a path.
    const FREE: [&str; 17] = [
        "attempt",
        "concurrency",
        "finished_since",
        "from",
        "grep",
        "head",
        "id",
        "keep_runs",
        "limit",
        "out",
        "payload",
        "reason",
        "since",
        "stream",
        "tail",
        "trail",
        "workflow",
    ];

    fn each(command: &Command, look: &mut impl FnMut(&Command, &Arg)) {
        command.get_arguments().for_each(|arg| look(command, arg));
        let shown = command.get_subcommands();
        let shown = shown.filter(|inner| !inner.is_hide_set());
        shown.for_each(|inner| each(inner, look));
    }

    #[test]
    fn every_argument_has_values_to_offer_or_is_known_to_have_none() {
        let mut program = <Args as CommandFactory>::command();
        program.build();
        each(&program, &mut |command, arg| {
            let id = arg.get_id().as_str();
            let has_own = !arg.get_possible_values().is_empty();
            let takes_none = !arg.get_action().takes_values();
            let is_known = has_own || takes_none || arg.is_hide_set() || FREE.contains(&id);
            let is_offered = values_of(command.get_name(), arg).is_some();
            assert!(
                is_known || is_offered,
                "{} {id}: offer values in `values_of`, or name it here",
                command.get_name()
            );
        });
    }
}
