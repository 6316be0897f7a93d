//! What can be wrong with a workflow file, each with its place and what to do about it.

use std::fmt::{self, Display, Formatter};
use std::io;

use coordination::workflow::Shown;
use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};

use super::text::Text;

/// How many faults are shown: two or three screens. The rest is counted.
const FAULTS_SHOWN_MAX: usize = 50;

/// Everything that keeps a workflow file from being run; at least one fault.
#[derive(Debug, thiserror::Error)]
pub(crate) struct FileFaults {
    text: Text,
    faults: Vec<FileFault>,
    count: usize,
}

impl FileFaults {
    /// `left_out` are those that were counted only.
    pub(super) fn new(text: Text, mut faults: Vec<FileFault>, left_out: usize) -> Self {
        let count = faults.len() + left_out;
        faults.sort_by_key(FileFault::offset);
        faults.truncate(FAULTS_SHOWN_MAX);
        Self {
            text,
            faults,
            count,
        }
    }

    pub(super) fn one(text: Text, fault: FileFault) -> Self {
        Self::new(text, vec![fault], 0)
    }
}

impl Display for FileFaults {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        let name = self.text.name();
        write!(
            formatter,
            "{name} cannot be run: {} fault{plural}",
            self.count
        )?;
        if self.count > self.faults.len() {
            write!(formatter, "; {} of them are shown", self.faults.len())?;
        }
        Ok(())
    }
}

impl Diagnostic for FileFaults {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.faults.iter().map(|fault| fault as _)))
    }
}

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

    #[error("the workflow has no steps")]
    #[diagnostic(
        code(coord::file::no_steps),
        help("add a [[step]] with an `id` and a `run` or `command`")
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
        help: Option<&'static str>,
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
        why: &'static str,
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

    #[error("a step has no `id`")]
    #[diagnostic(code(coord::file::no_id), help("add a line such as: id = \"build\""))]
    NoId {
        #[label("this step")]
        at: SourceSpan,
    },

    #[error("a step has nothing to do: neither `run` nor `command`")]
    #[diagnostic(
        code(coord::file::no_action),
        help(
            "add a shell line, run = \"cargo build\", or a program with its arguments, \
             command = [\"cargo\", \"build\"]"
        )
    )]
    NoAction {
        #[label("this step")]
        at: SourceSpan,
    },

    #[error("a step has both `run` and `command`")]
    #[diagnostic(code(coord::file::two_actions), help("keep one of the two"))]
    TwoActions {
        #[label("a shell line")]
        run: SourceSpan,
        #[label("a program and its arguments")]
        command: SourceSpan,
    },

    #[error("two steps have the same id {}", Shown(id))]
    #[diagnostic(code(coord::file::duplicate_id), help("rename one"))]
    DuplicateId {
        id: String,
        #[label("first here")]
        first: SourceSpan,
        #[label(primary, "and again here")]
        second: SourceSpan,
    },

    #[error("step {} needs {}, which is no step", Shown(id), Shown(need))]
    #[diagnostic(code(coord::file::unknown_need))]
    UnknownNeed {
        id: String,
        need: String,
        #[label("no such step")]
        at: SourceSpan,
        #[help]
        help: Option<String>,
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

    #[error("the first wait, {initial:?}, is longer than the longest, {max:?}")]
    #[diagnostic(
        code(coord::file::waits),
        help("`initial` is 500ms and `max` is 60s where the file says nothing else")
    )]
    Waits {
        initial: std::time::Duration,
        max: std::time::Duration,
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

    #[error("the variable name {} is not allowed", Shown(name))]
    #[diagnostic(
        code(coord::file::variable_name),
        help("a name has at least one character, and neither `=` nor NUL")
    )]
    VariableName {
        name: String,
        #[label("not a variable name")]
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
                | Self::UnknownNeed { .. }
                | Self::UnknownParam { .. }
        )
    }
}
