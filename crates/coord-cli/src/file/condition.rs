//! Conditions: expressions over the parameters, the environment and what earlier steps put out that say whether
//! a step runs.

mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use coordination::bus::text::nearest;
use coordination::workflow::Shown;
use miette::SourceSpan;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};

use kinds::Named;

use super::fault::FileFault;
use super::outputs::Taken;
use super::params::Params;
use super::text::{Text, printable};
use super::walk::{Walk, Words};

/// The longest condition, in bytes, and the most opening brackets in it. The parser of expressions
/// calls itself for each operator and bracket, and far more of them would overflow the stack.
const CONDITION_BYTES_MAX: usize = 1_000;
const BRACKETS_MAX: usize = 32;

/// What is kept of a message of the expression engine, in characters: it may quote the file.
const MESSAGE_LENGTH_MAX: usize = 200;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    // A misspelt variable is a fault, not a step that never runs.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // For the places in errors.
    environment.set_debug(true);
    environment
});

/// A condition of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    expression: String,
    /// What it takes of what earlier steps put out: with any, it is evaluated when these are over.
    pub(crate) takes: Vec<Taken>,
    /// Where the file says it, quotes included.
    at: Range<usize>,
}

/// What steps put out, by their ids, as far as they did.
pub(crate) type Outputs = BTreeMap<String, BTreeMap<String, String>>;

impl Condition {
    /// Whatever can be known to be wrong without the values is a fault.
    pub(super) fn read(walk: &mut Walk<'_>, words: &Words<'_>, params: Params<'_>) -> Self {
        let mut condition = Self {
            expression: (*words.get_ref()).to_owned(),
            takes: Vec::new(),
            at: words.span(),
        };
        if condition.check(walk, params.values) {
            let found = kinds::found(&condition.expression, params);
            condition.takes = condition.takes(walk, found.named);
            for clash in found.clashes {
                walk.add(FileFault::Condition {
                    message: clash.message,
                    at: condition.part(walk.text, Some(clash.at)),
                    help: Some(clash.help),
                });
            }
        }
        condition
    }

    /// What it takes of earlier steps.
    fn takes(&self, walk: &mut Walk<'_>, named: Vec<Named>) -> Vec<Taken> {
        let takes = named.into_iter().filter_map(|Named { at, output }| {
            let at = self.part_range(walk.text, at);
            let Some((step, name)) = output else {
                walk.add(FileFault::Condition {
                    message: "of steps, conditions know what they put out".to_owned(),
                    at: walk.at(&at),
                    help: Some(
                        "write steps.build.outputs.changed; with `-` or `.` in a name, \
                         steps['web-1'].outputs['is-new']"
                            .to_owned(),
                    ),
                });
                return None;
            };
            Some(Taken::of(&step, &name, at))
        });
        takes.collect()
    }

    /// As the file says it.
    pub(crate) fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether it can be read.
    fn check(&self, walk: &mut Walk<'_>, params: &BTreeMap<String, String>) -> bool {
        let brackets = self.expression.matches(['(', '[', '{']).count();
        if self.expression.len() > CONDITION_BYTES_MAX || brackets > BRACKETS_MAX {
            let message =
                format!("it has more than {CONDITION_BYTES_MAX} bytes or {BRACKETS_MAX} brackets");
            let at = walk.at(&self.at);
            let help = Some("let a script decide instead".to_owned());
            walk.add(FileFault::Condition { message, at, help });
            return false;
        }
        let compiled = match ENVIRONMENT.compile_expression(&self.expression) {
            Ok(compiled) => compiled,
            Err(error) => {
                walk.add(self.fault(walk.text, &error));
                return false;
            }
        };
        let mut names: Vec<String> = compiled.undeclared_variables(true).into_iter().collect();
        names.sort_unstable();
        for name in names {
            let mut parts = name.split('.');
            let at = self.part(
                walk.text,
                self.expression
                    .find(&name)
                    .map(|start| start..start + name.len()),
            );
            match (parts.next(), parts.next()) {
                (Some("params"), Some(param)) if !params.contains_key(param) => {
                    walk.add_with(|| FileFault::UnknownParam {
                        name: param.to_owned(),
                        at: Some(at),
                        help: param_help(param, params),
                    });
                }
                (Some(root), _) if !is_known(root) => {
                    let help = if params.contains_key(root) {
                        format!("write params.{root}")
                    } else {
                        "there are `params`, such as params.target, `env`, such as env.HOME, and \
                         `steps`, such as steps.build.outputs.changed; text stands in quotes"
                            .to_owned()
                    };
                    walk.add(FileFault::Condition {
                        message: format!("there is no {}", Shown(root)),
                        at,
                        help: Some(help),
                    });
                }
                _ => {}
            }
        }
        true
    }

    /// Whether the condition holds. Where something that it takes was not put out, and it does not ask whether
    /// it was, it does not.
    pub(super) fn holds(
        &self,
        text: &Text,
        params: Params<'_>,
        env: &BTreeMap<String, String>,
        outputs: &Outputs,
    ) -> Result<bool, FileFault> {
        let typed = params.typed();
        let steps = outputs.iter();
        let steps = steps.map(|(step, outputs)| (step.clone(), context! { outputs }));
        let steps: BTreeMap<String, Value> = steps.collect();
        let value = ENVIRONMENT
            .compile_expression(&self.expression)
            .and_then(|compiled| compiled.eval(context! { params => typed, env, steps }));
        let value = match value {
            Err(error) if error.kind() == ErrorKind::UndefinedError && self.lacks(outputs) => {
                return Ok(false);
            }
            value => value.map_err(|error| self.fault(text, &error))?,
        };
        if value.kind() == ValueKind::Bool {
            return Ok(value.is_true());
        }
        let message = match value.kind() {
            ValueKind::Undefined => "it gives nothing, neither true nor false".to_owned(),
            kind => format!("it gives a {kind}, neither true nor false"),
        };
        // The text "false" would count as true.
        Err(FileFault::Condition {
            message,
            at: text.underlined(&self.at),
            help: Some("compare it with something, such as params.deploy == 'true'".to_owned()),
        })
    }

    /// Whether it asks for one of these parameters, or perhaps does, as for one whose name it computes.
    pub(super) fn asks_for(&self, params: &BTreeSet<&String>) -> bool {
        let Ok(compiled) = ENVIRONMENT.compile_expression(&self.expression) else {
            return false;
        };
        let mut names = compiled.undeclared_variables(true).into_iter();
        names.any(|name| match name.split_once('.') {
            Some(("params", rest)) => {
                let name = rest.split('.').next().unwrap_or(rest);
                params.iter().any(|param| *param == name)
            }
            _ => name == "params" && !params.is_empty(),
        })
    }

    /// Whether something that it takes was not put out.
    fn lacks(&self, outputs: &Outputs) -> bool {
        self.takes.iter().any(|taken| {
            let (step, name) = taken.parts();
            let of_step = outputs.get(step);
            of_step.is_none_or(|outputs| !outputs.contains_key(name))
        })
    }

    fn fault(&self, text: &Text, error: &minijinja::Error) -> FileFault {
        let kind = error.kind().to_string();
        let message = match error.detail().unwrap_or(&kind) {
            // What the parser of numbers says.
            "invalid float literal" | "invalid digit found in string" => {
                "a text that is no number cannot become one".to_owned()
            }
            message => printable(message).replace('\n', " "),
        };
        FileFault::Condition {
            message: message.chars().take(MESSAGE_LENGTH_MAX).collect(),
            at: self.part(text, error.range()),
            help: None,
        }
    }

    /// Where a part of the expression stands in the file; all of it, if that cannot be told
    /// because the file writes it with escapes.
    fn part(&self, text: &Text, part: Option<Range<usize>>) -> SourceSpan {
        let part = part.map(|part| self.part_range(text, part));
        text.underlined(part.as_ref().unwrap_or(&self.at))
    }

    fn part_range(&self, text: &Text, part: Range<usize>) -> Range<usize> {
        let inner = self.at.start + 1..self.at.end.saturating_sub(1);
        match text.is_at(&inner, &self.expression) {
            true => inner.start + part.start..inner.start + part.end,
            false => self.at.clone(),
        }
    }
}

/// The variables of this program; those that are no text cannot be named in a condition.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    let texts = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.collect()
}

fn is_known(root: &str) -> bool {
    let mut functions = ENVIRONMENT.globals();
    matches!(root, "params" | "env" | "steps") || functions.any(|(name, _)| name == root)
}

/// What to do about a parameter that there is not.
pub(super) fn param_help(name: &str, params: &BTreeMap<String, String>) -> String {
    const NAMED_MAX: usize = 10;
    let names = || params.keys().map(String::as_str);
    if let Some(meant) = nearest(name, names()) {
        return format!("did you mean {}?", Shown(meant));
    }
    if params.is_empty() {
        return "the file declares none; declare them under [params]".to_owned();
    }
    let named: Vec<String> = names()
        .take(NAMED_MAX)
        .map(|name| Shown(name).to_string())
        .collect();
    let more = if params.len() > NAMED_MAX {
        ", …"
    } else {
        ""
    };
    format!("the file declares {}{more}", named.join(", "))
}
