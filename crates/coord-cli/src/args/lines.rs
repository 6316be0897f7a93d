//! How lines of text are put on the page.

use std::env;

use clap::ValueEnum;

/// How a run is told as text. Of the live screen only `--failure-output`, in what it leaves behind.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct TextArgs {
    /// Print lines as they come, or those of each step together when it ends; `auto`: grouped where the
    /// variable `CI` is set, as they come elsewhere.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t)]
    log_order: LogOrder,

    /// Begin each line with the name of its step; `auto`: with it, but for what stands alone in the
    /// group of its step, folded on GitHub.
    #[arg(long, value_enum, value_name = "PREFIX", default_value_t)]
    log_prefix: LogPrefix,

    /// When to print the last lines of what failed: as soon as it has, at the end of the run, both, or
    /// never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    failure_output: FailureOutput,

    /// Print only what fails, with its last lines, and how the run ended; as text, also in a terminal.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogOrder {
    #[default]
    Auto,
    Stream,
    Grouped,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogPrefix {
    #[default]
    Auto,
    None,
    Task,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FailureOutput {
    Immediate,
    #[default]
    Final,
    ImmediateFinal,
    Never,
}

/// Which lines begin with the name of their process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    All,
    /// Those that do not stand in a group which says it: of other processes than steps, and of items, which
    /// share the group of their step.
    OutsideTheirGroup,
    None,
}

/// How lines of text are put on the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Whether the lines of a step come together, when it has ended.
    pub(crate) is_grouped: bool,
    /// Whether groups are marked so that GitHub folds them.
    pub(crate) is_folded: bool,
    /// Which lines begin with the name of their process.
    pub(crate) names: Names,
    /// Whether what failed is followed by its last lines.
    pub(crate) fails_at_once: bool,
    /// Whether the summary has the last lines of what failed.
    pub(crate) fails_at_the_end: bool,
    /// Whether nothing is told but what fails, and how the run ended.
    pub(crate) is_quiet: bool,
}

impl Layout {
    /// Where nothing else is said: lines as they come, and those of what failed at the end.
    pub(crate) const STREAM: Self = Self {
        is_grouped: false,
        is_folded: false,
        names: Names::All,
        fails_at_once: false,
        fails_at_the_end: true,
        is_quiet: false,
    };

    /// Of a run that goes on elsewhere, where the last lines of what failed are told as soon as it has.
    pub(crate) const QUIET_STREAM: Self = Self {
        fails_at_once: true,
        fails_at_the_end: false,
        is_quiet: true,
        ..Self::STREAM
    };
}

impl TextArgs {
    pub(crate) fn layout(self) -> Layout {
        let is_quiet = self.quiet;
        // Where nothing else is told, there is nothing to be kept together.
        let is_grouped = !is_quiet
            && match self.log_order {
                LogOrder::Auto => is_set("CI"),
                LogOrder::Stream => false,
                LogOrder::Grouped => true,
            };
        let is_folded = is_grouped && is_set("GITHUB_ACTIONS");
        let (at_once, at_the_end) = match self.failure_output {
            FailureOutput::Immediate => (true, false),
            FailureOutput::Final => (false, true),
            FailureOutput::ImmediateFinal => (true, true),
            FailureOutput::Never => (false, false),
        };
        Layout {
            is_grouped,
            is_folded,
            names: match self.log_prefix {
                LogPrefix::Auto if is_folded => Names::OutsideTheirGroup,
                LogPrefix::Auto | LogPrefix::Task => Names::All,
                LogPrefix::None => Names::None,
            },
            fails_at_once: at_once,
            // Who wants to see only what fails wants to see it.
            fails_at_the_end: at_the_end || is_quiet && !at_once,
            is_quiet,
        }
    }
}

/// Whether a variable says yes, in whatever words.
fn is_set(variable: &str) -> bool {
    let value = env::var_os(variable);
    value.is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}
