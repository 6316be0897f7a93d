//! What can be wrong with a workflow file, each with its place and what to do about it.
// tidy: long, because a fault is a variant, and whoever looks for one looks through one list.

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use coordination::workflow::Shown;
use miette::{Diagnostic, LabeledSpan, SourceSpan};

use super::text::Text;
use super::unit::utterable;

/// One thing that is wrong with a workflow file. The codes are stable.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum FileFault {
    #[error("the file cannot be read")]
    #[diagnostic(code(coord::file::unreadable))]
    Unreadable {
        source: io::Error,
        #[help]
        help: Option<String>,
    },

    #[error("this is a directory, not a workflow file")]
    #[diagnostic(code(coord::file::directory), help("name a file in it"))]
    Directory,

    #[error("the file has more than {max} bytes, the most that is read")]
    #[diagnostic(
        code(coord::file::too_large),
        help("is it a workflow file? otherwise, split the workflow")
    )]
    TooLarge { max: usize },

    #[error("the file is not UTF-8 text")]
    #[diagnostic(code(coord::file::not_text), help("save it as UTF-8"))]
    NotText {
        #[label("byte {byte:#04x} cannot stand here")]
        at: SourceSpan,
        byte: u8,
    },

    #[error("this is not TOML: {message}")]
    #[diagnostic(code(coord::file::syntax))]
    Syntax {
        message: String,
        #[label("here")]
        at: SourceSpan,
    },

    #[error("the workflow has no steps and no services")]
    #[diagnostic(
        code(coord::file::no_steps),
        help("add a [[step]] or a [[service]] with an `id` and a `run` or `command`")
    )]
    NoSteps,

    #[error("{table} has no key {}", Shown(key))]
    #[diagnostic(code(coord::file::unknown_key))]
    UnknownKey {
        key: String,
        table: &'static str,
        #[label("unknown key")]
        at: SourceSpan,
        #[help]
        help: String,
    },

    #[error("`{key}` must be {expected}")]
    #[diagnostic(code(coord::file::wrong_type))]
    WrongType {
        key: String,
        expected: &'static str,
        found: &'static str,
        #[label("this is {found}")]
        at: SourceSpan,
        #[help]
        help: Option<String>,
    },

    #[error("`{key}` must be between {min} and {max}")]
    #[diagnostic(code(coord::file::out_of_range))]
    OutOfRange {
        key: String,
        min: i64,
        max: i64,
        #[label("out of range")]
        at: SourceSpan,
    },

    #[error("`{key}` is empty")]
    #[diagnostic(code(coord::file::empty))]
    Empty {
        key: String,
        #[label("nothing here")]
        at: SourceSpan,
    },

    #[error("`{key}` contains a NUL character, which no process can be given")]
    #[diagnostic(code(coord::file::nul))]
    Nul {
        key: String,
        #[label("remove the NUL")]
        at: SourceSpan,
    },

    #[error("`{key}` is no duration: {why}")]
    #[diagnostic(
        code(coord::file::duration),
        help("write numbers with units: \"500ms\", \"5m\", \"1h30m\"")
    )]
    Duration {
        key: String,
        why: String,
        #[label("not a duration")]
        at: SourceSpan,
    },

    #[error("the name {} is not allowed", Shown(name))]
    #[diagnostic(
        code(coord::file::name),
        help(
            "use 1 to 64 of the letters a-z and A-Z, digits, `_`, `.` and `-`, and begin with a \
             letter or digit"
        )
    )]
    Name {
        name: String,
        #[label("not a name")]
        at: SourceSpan,
    },

    #[error("a {what} has no `id`")]
    #[diagnostic(code(coord::file::no_id), help("add a line such as: id = \"build\""))]
    NoId {
        what: &'static str,
        #[label("this {what}")]
        at: SourceSpan,
    },

    #[error("a {what} has nothing to do: neither `run` nor `command`")]
    #[diagnostic(
        code(coord::file::no_action),
        help(
            "add a shell line, run = \"cargo build\", or a program with its arguments, \
             command = [\"cargo\", \"build\"]"
        )
    )]
    NoAction {
        what: &'static str,
        #[label("this {what}")]
        at: SourceSpan,
    },

    #[error("`undo` does not say what to run")]
    #[diagnostic(
        code(coord::file::no_undo),
        help("add a shell line, run = \"./deploy.sh down\"")
    )]
    NoUndo {
        #[label("nothing to run here")]
        at: SourceSpan,
    },

    #[error("`hooks` does not say what to run")]
    #[diagnostic(
        code(coord::file::no_hook),
        help("add a shell line for one of `success`, `failure` and `always`")
    )]
    NoHook {
        #[label("nothing to run here")]
        at: SourceSpan,
    },

    #[error("a {what} has both `{first_key}` and `{second_key}`")]
    #[diagnostic(code(coord::file::two_actions), help("keep one of the two"))]
    TwoActions {
        what: &'static str,
        first_key: &'static str,
        second_key: &'static str,
        #[label("either this")]
        first: SourceSpan,
        #[label("or this")]
        second: SourceSpan,
    },

    #[error("two steps or services have the same id {}", Shown(id))]
    #[diagnostic(code(coord::file::duplicate_id), help("rename one"))]
    DuplicateId {
        id: String,
        #[label("first here")]
        first: SourceSpan,
        #[label(primary, "and again here")]
        second: SourceSpan,
    },

    #[error(
        "{} needs {}, which is neither a step nor a service",
        Shown(id),
        Shown(need)
    )]
    #[diagnostic(code(coord::file::unknown_need))]
    UnknownNeed {
        id: String,
        need: String,
        #[label("there is none of this id")]
        at: SourceSpan,
        #[help]
        help: Option<String>,
    },

    #[error("there is no resource {}", Shown(name))]
    #[diagnostic(code(coord::file::unknown_resource))]
    UnknownResource {
        name: String,
        #[label("not declared under [resources]")]
        at: SourceSpan,
        #[help]
        help: String,
    },

    #[error("there is less of the resource {} than the step takes", Shown(name))]
    #[diagnostic(
        code(coord::file::too_much_of_resource),
        help("take less, or declare more under [resources]")
    )]
    TooMuchOfResource {
        name: String,
        there: NonZeroU32,
        #[label("there are {there}")]
        at: SourceSpan,
    },

    #[error("{message}")]
    #[diagnostic(code(coord::file::cycle), help("remove one of these needs"))]
    Cycle {
        message: String,
        #[label(collection)]
        needs: Vec<LabeledSpan>,
    },

    #[error("{message}")]
    #[diagnostic(code(coord::file::workflow))]
    Workflow { message: String },

    #[error("the backoff {} is not known", Shown(name))]
    #[diagnostic(
        code(coord::file::backoff),
        help("use \"constant\", \"linear\" or \"exponential\"")
    )]
    Backoff {
        name: String,
        #[label("not a backoff")]
        at: SourceSpan,
    },

    #[error("{} is none of the words of `{key}`", Shown(name))]
    #[diagnostic(code(coord::file::word), help("use {words}"))]
    Word {
        key: &'static str,
        name: String,
        words: String,
        #[label("not known")]
        at: SourceSpan,
    },

    #[error("a step cannot be both `optional` and `critical`")]
    #[diagnostic(
        code(coord::file::optional_and_critical),
        help("its failure either harms nobody or ends the run: keep one of the two")
    )]
    OptionalAndCritical {
        #[label("ends the run")]
        critical: SourceSpan,
        #[label("harms nobody")]
        optional: SourceSpan,
    },

    #[error("`heartbeat_timeout` means nothing to a step that runs nothing")]
    #[diagnostic(
        code(coord::file::useless_key),
        help("remove it; `timeout` limits how long the step waits")
    )]
    UselessHeartbeat {
        #[label("without effect")]
        at: SourceSpan,
    },

    #[error("`{key}` means nothing to a `log`, which is looked through once")]
    #[diagnostic(
        code(coord::file::useless_key),
        help("remove it; `period` times `failure_threshold` is how long the line may take")
    )]
    UselessOfLog {
        key: &'static str,
        #[label("without effect")]
        at: SourceSpan,
    },

    #[error("`{key}` means nothing to a step that runs nothing")]
    #[diagnostic(code(coord::file::useless_key), help("{help}"))]
    UselessOfWaiting {
        key: &'static str,
        #[label("without effect")]
        at: SourceSpan,
        help: &'static str,
    },

    #[error("`for_each` does not say where the items come from, in one way")]
    #[diagnostic(
        code(coord::file::no_items),
        help(
            "write [\"one\", \"two\"], {{ param = \"targets\" }} or {{ output = \"list.files\" }}"
        )
    )]
    NoItems {
        #[label("one of `items`, `param` and `output`")]
        at: SourceSpan,
    },

    #[error("these items cannot be gone over: {why}")]
    #[diagnostic(
        code(coord::file::items),
        help("they are the lines of a text, or a JSON array")
    )]
    Items {
        why: String,
        #[label("here")]
        at: SourceSpan,
    },

    #[error("the name of an output {} is not allowed", Shown(name))]
    #[diagnostic(
        code(coord::file::output_name),
        help(
            "use up to 64 letters a-z and A-Z, digits, `_` and `-`, and begin with a letter or `_`"
        )
    )]
    OutputName {
        name: String,
        #[label("not a name of an output")]
        at: SourceSpan,
    },

    #[error("no step puts out {}", Shown(output))]
    #[diagnostic(code(coord::file::unknown_output))]
    UnknownOutput {
        output: String,
        #[label("there is no such output")]
        at: SourceSpan,
        #[help]
        help: String,
    },

    #[error(
        "{} takes what {} puts out, and does not need it",
        Shown(id),
        Shown(step)
    )]
    #[diagnostic(
        code(coord::file::output_not_needed),
        help("add {} to its `needs`", Shown(step))
    )]
    OutputNotNeeded {
        id: String,
        step: String,
        #[label("perhaps not there yet")]
        at: SourceSpan,
    },

    #[error("{} is not put out, as its step is left out", Shown(output))]
    #[diagnostic(
        code(coord::file::output_left_out),
        help("begin with that step: `--from`, or run all of the file")
    )]
    OutputLeftOut {
        output: String,
        #[label("taken here")]
        at: SourceSpan,
    },

    #[error("the first wait, {initial:?}, is longer than the longest, {max:?}")]
    #[diagnostic(
        code(coord::file::waits),
        help("`initial` is {default_initial:?} and `max` is 60s where the file says nothing else")
    )]
    Waits {
        initial: Duration,
        max: Duration,
        default_initial: Duration,
        #[label("shorten `initial` or lengthen `max`")]
        at: SourceSpan,
    },

    #[error("`max` means nothing to a constant backoff, which always waits `initial`")]
    #[diagnostic(
        code(coord::file::useless_key),
        help("remove `max`, or choose another backoff")
    )]
    UselessMax {
        #[label("without effect")]
        at: SourceSpan,
    },

    #[error("`{key}` does not say what to ask")]
    #[diagnostic(
        code(coord::file::no_check),
        help(
            "add http = \"http://localhost:8080/health\", tcp = \"localhost:8080\", \
             exec = \"a shell line\" or, for `ready`, log = \"a regular expression\""
        )
    )]
    NoCheck {
        key: &'static str,
        #[label("nothing to ask here")]
        at: SourceSpan,
    },

    #[error("`{key}` asks in two ways")]
    #[diagnostic(code(coord::file::two_checks), help("keep one of the two"))]
    TwoChecks {
        key: &'static str,
        #[label("one way")]
        first: SourceSpan,
        #[label("and another")]
        second: SourceSpan,
    },

    #[error("`{key}` cannot be asked: {why}")]
    #[diagnostic(code(coord::file::check))]
    Check {
        key: &'static str,
        why: String,
        #[label("here")]
        at: SourceSpan,
    },

    #[error("a line of the log says once that a service is ready, and cannot be asked again")]
    #[diagnostic(
        code(coord::file::live_log),
        help("use `http`, `tcp` or `exec` to see whether a service still lives")
    )]
    LiveLog {
        #[label("not for `live`")]
        at: SourceSpan,
    },

    #[error("the restart policy {} is not known", Shown(name))]
    #[diagnostic(
        code(coord::file::restart),
        help("use \"no\", \"on-failure\", \"always\" or \"exit-on-failure\"")
    )]
    Restart {
        name: String,
        #[label("not a restart policy")]
        at: SourceSpan,
    },

    #[error("a service that is not restarted has no use for {}", Shown(key))]
    #[diagnostic(
        code(coord::file::useless_restart),
        help("remove it, or choose \"on-failure\" or \"always\"")
    )]
    UselessRestart {
        key: String,
        #[label("without effect")]
        at: SourceSpan,
    },

    #[error("the stop signal {} is not known", Shown(name))]
    #[diagnostic(code(coord::file::stop_signal))]
    StopSignal {
        name: String,
        #[label("not a stop signal")]
        at: SourceSpan,
        #[help]
        help: String,
    },

    #[error("the parameter name {} is not allowed", Shown(name))]
    #[diagnostic(
        code(coord::file::param_name),
        help("use letters a-z and A-Z, digits, `_` and `-`, and begin with a letter or `_`")
    )]
    ParamName {
        name: String,
        #[label("not a parameter name")]
        at: SourceSpan,
    },

    #[error(
        "two parameters reach the steps as the same variable {}",
        Shown(variable)
    )]
    #[diagnostic(code(coord::file::param_collision), help("rename one"))]
    ParamCollision {
        variable: String,
        #[label("first here")]
        first: SourceSpan,
        #[label(primary, "and again here")]
        second: SourceSpan,
    },

    #[error("the parameter {} {why}", Shown(name))]
    #[diagnostic(code(coord::file::param_value))]
    ParamValue {
        name: String,
        why: String,
        #[label("not allowed")]
        at: Option<SourceSpan>,
        #[help]
        help: String,
    },

    #[error("the parameter {} has no default, and was given no value", Shown(name))]
    #[diagnostic(code(coord::file::param_required))]
    ParamRequired {
        name: String,
        #[label("required")]
        at: SourceSpan,
        #[help]
        help: String,
    },

    #[error("there is no profile {}", Shown(name))]
    #[diagnostic(code(coord::file::unknown_profile))]
    UnknownProfile {
        name: String,
        #[help]
        help: String,
    },

    #[error("the variable name {} is not allowed", Shown(name))]
    #[diagnostic(
        code(coord::file::variable_name),
        help(
            "letters, digits and `_` make a name that every shell can say{}",
            utterable(name).map_or_else(String::new, |name| format!(", such as {name}"))
        )
    )]
    VariableName {
        name: String,
        #[label("not a variable name")]
        at: SourceSpan,
    },

    #[error(
        "the secret {} does not say where it comes from, in one way",
        Shown(name)
    )]
    #[diagnostic(
        code(coord::file::secret),
        help(
            "write {{ env = \"GITHUB_TOKEN\" }}, {{ file = \"secrets/token\" }} or \
             {{ command = [\"pass\", \"token\"] }}"
        )
    )]
    Secret {
        name: String,
        #[label("one of `env`, `file` and `command`")]
        at: SourceSpan,
    },

    #[error("this file cannot be included: {why}")]
    #[diagnostic(
        code(coord::file::include),
        help(
            "name a file from the folder of this one, below that of the workflow file: \"steps/test.toml\""
        )
    )]
    Include {
        why: String,
        #[label("named here")]
        at: SourceSpan,
    },

    #[error("the variables of this file cannot be read: {why}")]
    #[diagnostic(
        code(coord::file::dotenv),
        help("it has lines such as NAME=value, and stands in the folder of the workflow file")
    )]
    Dotenv {
        why: String,
        #[label("named here")]
        at: SourceSpan,
    },

    #[error("there is no parameter {}", Shown(name))]
    #[diagnostic(code(coord::file::unknown_param))]
    UnknownParam {
        name: String,
        #[label("not declared under [params]")]
        at: Option<SourceSpan>,
        #[help]
        help: String,
    },

    #[error("the condition cannot be evaluated: {message}")]
    #[diagnostic(code(coord::file::condition))]
    Condition {
        message: String,
        #[label("here")]
        at: SourceSpan,
        #[help]
        help: Option<String>,
    },
}

impl FileFault {
    /// Where the fault begins in the file; 0 for those of the whole file.
    pub(super) fn offset(&self) -> usize {
        let labels = self.labels().into_iter().flatten();
        labels.map(|label| label.offset()).min().unwrap_or(0)
    }

    /// The line, from 0, in which the fault begins.
    pub(super) fn line(&self, text: &Text) -> usize {
        text.line(self.offset())
    }

    /// Whether a key is where it does not belong.
    pub(super) fn is_misplaced(&self) -> bool {
        matches!(self, Self::UnknownKey { .. })
    }

    /// Whether something is missing. Where the text is no TOML, it may be there but unread.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSteps
                | Self::NoId { .. }
                | Self::NoAction { .. }
                | Self::NoUndo { .. }
                | Self::NoHook { .. }
                | Self::UnknownOutput { .. }
                | Self::OutputNotNeeded { .. }
                | Self::UnknownNeed { .. }
                | Self::UnknownParam { .. }
                | Self::UnknownResource { .. }
        )
    }
}
