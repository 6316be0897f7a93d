//! The parameters of a workflow file, what values they take, and profiles, which give them others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use coordination::bus::text::nearest;
use coordination::workflow::{Shown, is_name};
use miette::SourceSpan;
use minijinja::value::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::condition::param_help;
use super::failing::word;
use super::fault::FileFault;
use super::unit::env;
use super::walk::{Keys, Walk};
use super::{FileFaults, WorkflowFile, param_variable};

pub(super) const PARAM_KEYS: Keys = Keys {
    table: "a parameter",
    known: &["type", "default", "choices", "description"],
    elsewhere: &[
        ("enum", "choices"),
        ("options", "choices"),
        ("values", "choices"),
        ("help", "description"),
    ],
};

pub(super) const PROFILE_KEYS: Keys = Keys {
    table: "a profile",
    known: &["params", "env"],
    elsewhere: &[("parameters", "params"), ("environment", "env")],
};

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    String,
    Integer,
    Number,
    Boolean,
}

/// What is said of a parameter beside its default.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    kind: Kind,
    /// All there are; none: any.
    choices: Vec<String>,
    description: Option<String>,
    /// Whether it has a value before a run gives it one.
    has_value: bool,
    at: Range<usize>,
}

impl Rule {
    /// Why it cannot have this value, if it cannot.
    fn refuses(&self, value: &str) -> Option<String> {
        let (fits, wanted) = match self.kind {
            Kind::String => (true, ""),
            Kind::Integer => (value.parse::<i64>().is_ok(), "a whole number"),
            Kind::Number => {
                let number = value.parse::<f64>();
                (number.is_ok_and(f64::is_finite), "a number")
            }
            Kind::Boolean => (matches!(value, "true" | "false"), "`true` or `false`"),
        };
        if !fits {
            return Some(format!("takes {wanted}, and not {}", Shown(value)));
        }
        let is_choice = self.choices.is_empty() || self.choices.iter().any(|it| it == value);
        (!is_choice).then(|| format!("cannot be {}", Shown(value)))
    }

    fn fault(&self, name: &str, value: &str, at: Option<SourceSpan>) -> Option<FileFault> {
        let why = self.refuses(value)?;
        let choices = || self.choices.iter().map(String::as_str);
        let meant = nearest(value, choices());
        let help = match (meant, choices().next()) {
            (Some(meant), _) => format!("did you mean {}?", Shown(meant)),
            (None, Some(_)) => {
                let shown: Vec<_> = choices().map(|choice| Shown(choice).to_string()).collect();
                format!("it is one of {}", shown.join(", "))
            }
            (None, None) => self.purpose(name),
        };
        Some(FileFault::ParamValue {
            name: name.to_owned(),
            why,
            at,
            help,
        })
    }

    /// How to give it, and what it is.
    fn purpose(&self, name: &str) -> String {
        let give = format!("give it with --param {}=…", name.escape_debug());
        match &self.description {
            Some(description) => format!("{give}: {}", super::printable(description)),
            None => give,
        }
    }
}

/// What a profile says.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    params: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
}

/// What is said of parameters that are tables.
pub(super) type Rules = BTreeMap<String, Rule>;

/// The parameters that a file declares, with their values, and what is said of those that are tables.
#[derive(Clone, Copy)]
pub(super) struct Params<'f> {
    pub(super) values: &'f BTreeMap<String, String>,
    pub(super) rules: &'f Rules,
}

impl<'f> Params<'f> {
    /// What the values of a parameter are, if it is declared.
    pub(super) fn kind(self, name: &str) -> Option<Kind> {
        self.values.get(name)?;
        let rule = self.rules.get(name);
        Some(rule.map(|rule| rule.kind).unwrap_or_default())
    }

    /// The values, each of its type.
    pub(super) fn typed(self) -> BTreeMap<&'f str, Value> {
        let values = self.values.iter();
        let typed = values.map(|(name, text)| {
            let value = match self.kind(name).unwrap_or_default() {
                Kind::String => None,
                Kind::Integer => text.parse::<i64>().ok().map(Value::from),
                Kind::Number => text.parse::<f64>().ok().map(Value::from),
                Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
            };
            (name.as_str(), value.unwrap_or_else(|| Value::from(&**text)))
        });
        typed.collect()
    }
}

/// Whether a parameter, or an output of a step, may be called so: its variable is made of it.
pub(super) fn is_param_name(name: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphabetic() || first == '_';
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.starts_with(begins) && name.bytes().all(continues)
}

/// Reads the parameters with their defaults, and what else is said of them. One without a default has
/// an empty value.
pub(super) fn params(walk: &mut Walk<'_>, root: &DeTable<'_>) -> (BTreeMap<String, String>, Rules) {
    let (mut rules, mut defaults) = (Rules::new(), BTreeMap::new());
    let mut params = walk.texts_but(root, "params", |walk, name, value| {
        let Some(table) = value.get_ref().as_table() else {
            return false;
        };
        let (rule, default) = rule(walk, name, table, &value.span());
        rules.insert(name.to_owned(), rule);
        defaults.insert(name.to_owned(), default);
        true
    });
    let names = root
        .get("params")
        .and_then(|table| table.get_ref().as_table());
    for name in names.into_iter().flat_map(DeTable::keys) {
        if let Some(default) = defaults.remove(name.get_ref().as_ref()) {
            let default = Spanned::new(name.span(), default);
            params.insert(name.get_ref().to_string(), default);
        }
    }
    let mut variables = BTreeMap::new();
    for (name, value) in &params {
        let at = walk.at(&value.span());
        if !is_param_name(name) {
            let name = name.clone();
            walk.add(FileFault::ParamName { name, at });
            continue;
        }
        let variable = param_variable(name);
        if let Some(first) = variables.insert(variable.clone(), at) {
            // Parameters come in the order of their names, not of the file.
            let (first, second) = if first.offset() < at.offset() {
                (first, at)
            } else {
                (at, first)
            };
            walk.add(FileFault::ParamCollision {
                variable,
                first,
                second,
            });
        }
    }
    let values = params.into_iter();
    let values = values.map(|(name, value)| (name, value.into_inner()));
    (values.collect(), rules)
}

/// What a table says of a parameter, and its default.
fn rule(walk: &mut Walk<'_>, name: &str, table: &DeTable<'_>, at: &Range<usize>) -> (Rule, String) {
    walk.check_keys(table, &PARAM_KEYS);
    let kinds = [
        ("string", Kind::String),
        ("integer", Kind::Integer),
        ("number", Kind::Number),
        ("boolean", Kind::Boolean),
    ];
    let kind = word(walk, table, "type", &kinds).unwrap_or_default();
    let choices = match table.get("choices").map(|it| (it, it.get_ref().as_array())) {
        Some((_, Some(choices))) => choices.iter().collect(),
        Some((other, None)) => {
            walk.wrong_type("choices", other, "a list", Some("put it in [ ]"));
            Vec::new()
        }
        None => Vec::new(),
    };
    let choices = choices.into_iter();
    let choices = choices.filter_map(|choice| value_text(walk, "choices", choice));
    let choices: Vec<_> = choices.collect();
    let description = walk.string(table, "description");
    let rule = Rule {
        kind,
        choices,
        description: description.map(|it| (*it.get_ref()).to_owned()),
        has_value: table.contains_key("default"),
        at: at.clone(),
    };
    let default = table.get("default");
    let default = default.and_then(|value| value_text(walk, "default", value));
    if let (Some(default), Some(value)) = (&default, table.get("default")) {
        let words = Spanned::new(value.span(), default.as_str());
        walk.check_process_text("default", &words, false);
        let at = walk.at(&value.span());
        if let Some(fault) = rule.fault(name, default, Some(at)) {
            walk.add(fault);
        }
    }
    (rule, default.unwrap_or_default())
}

/// A value of a parameter: text, or a number.
fn value_text(walk: &mut Walk<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => walk.scalar(key, value),
    }
}

/// Reads the profiles.
pub(super) fn profiles(
    walk: &mut Walk<'_>,
    root: &DeTable<'_>,
    params: &BTreeMap<String, String>,
    rules: &Rules,
) -> BTreeMap<String, Profile> {
    let example = "write it as [profile.NAME]";
    let mut profiles = BTreeMap::new();
    let table = walk.table(root, "profile", Some(example));
    for (name, value) in table.into_iter().flatten() {
        let text = name.get_ref().as_ref();
        if !is_name(text) {
            let at = walk.at(&name.span());
            let name = text.to_owned();
            walk.add(FileFault::Name { name, at });
        }
        let Some(table) = value.get_ref().as_table() else {
            walk.wrong_type(
                &text.escape_debug().to_string(),
                value,
                "a table",
                Some(example),
            );
            continue;
        };
        walk.check_keys(table, &PROFILE_KEYS);
        let mut profile = Profile {
            env: env(walk, table),
            ..Profile::default()
        };
        let mut numbers = Vec::new();
        let mut given = walk.texts_but(table, "params", |_, name, value| match value.get_ref() {
            DeValue::Float(number) => {
                let number = Spanned::new(value.span(), number.as_str().to_owned());
                numbers.push((name.to_owned(), number));
                true
            }
            _ => false,
        });
        given.extend(numbers);
        for (name, value) in given {
            let at = Some(walk.at(&value.span()));
            let value = value.into_inner();
            if !params.contains_key(&name) {
                let help = param_help(&name, params);
                walk.add(FileFault::UnknownParam { name, at, help });
                continue;
            }
            if let Some(fault) = rules
                .get(&name)
                .and_then(|rule| rule.fault(&name, &value, at))
            {
                walk.add(fault);
            }
            profile.params.insert(name, value);
        }
        profiles.insert(text.to_owned(), profile);
    }
    profiles
}

impl WorkflowFile {
    /// What the profiles are called.
    pub(crate) fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The values that a parameter takes, if it takes some only.
    pub(crate) fn param_choices(&self, name: &str) -> Vec<String> {
        match self.param_rules.get(name) {
            Some(rule) if rule.choices.is_empty() && rule.kind == Kind::Boolean => {
                ["true", "false"].map(str::to_owned).into()
            }
            Some(rule) => rule.choices.clone(),
            None => Vec::new(),
        }
    }

    /// What a parameter is for.
    pub(crate) fn param_purpose(&self, name: &str) -> Option<&str> {
        self.param_rules.get(name)?.description.as_deref()
    }

    /// With what a profile says in place of what the file does.
    ///
    /// # Errors
    ///
    /// There is no such profile.
    pub(crate) fn with_profile(mut self, name: Option<&str>) -> Result<Self, FileFaults> {
        let Some(name) = name else {
            return Ok(self);
        };
        let Some(profile) = self.profiles.get(name) else {
            let names = || self.profiles.keys().map(String::as_str);
            let help = match (nearest(name, names()), names().next()) {
                (Some(meant), _) => format!("did you mean {}?", Shown(meant)),
                (None, None) => "the file declares none: begin one with [profile.NAME]".to_owned(),
                (None, Some(_)) => {
                    let shown: Vec<_> = names().map(|name| Shown(name).to_string()).collect();
                    format!("the file declares {}", shown.join(", "))
                }
            };
            let name = name.to_owned();
            let fault = FileFault::UnknownProfile { name, help };
            return Err(FileFaults::one(self.text, fault));
        };
        let Profile { params, env } = profile.clone();
        for name in params.keys() {
            if let Some(rule) = self.param_rules.get_mut(name) {
                rule.has_value = true;
            }
        }
        self.params.extend(params);
        self.env.extend(env);
        Ok(self)
    }

    /// The parameters with these values in place of their defaults; of two values for one
    /// parameter, the later counts.
    ///
    /// # Errors
    ///
    /// A parameter is not declared, cannot have the value, or has none.
    pub(crate) fn params_with(
        &self,
        values: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, FileFaults> {
        let (params, mut faults) = self.given(values);
        for (name, rule) in &self.param_rules {
            if !params.contains_key(name) {
                faults.push(FileFault::ParamRequired {
                    name: name.clone(),
                    at: self.text.underlined(&rule.at),
                    help: rule.purpose(name),
                });
            }
        }
        self.unless(faults, params)
    }

    /// Those of them that have a value.
    ///
    /// # Errors
    ///
    /// A parameter is not declared, or cannot have the value.
    pub(crate) fn params_known(
        &self,
        values: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, FileFaults> {
        let (params, faults) = self.given(values);
        self.unless(faults, params)
    }

    /// The parameters that have a value, and what is wrong with those that were given.
    fn given(&self, values: &[(String, String)]) -> (BTreeMap<String, String>, Vec<FileFault>) {
        let mut params = self.params.clone();
        let (mut faults, mut given) = (Vec::new(), BTreeSet::new());
        for (name, value) in values {
            match params.get_mut(name) {
                Some(param) => param.clone_from(value),
                None => faults.push(FileFault::UnknownParam {
                    name: name.clone(),
                    at: None,
                    help: param_help(name, &self.params),
                }),
            }
            given.insert(name);
        }
        for (name, rule) in &self.param_rules {
            if given.contains(name) {
                faults.extend(rule.fault(name, &params[name], None));
            } else if !rule.has_value {
                params.remove(name);
            }
        }
        (params, faults)
    }
}
