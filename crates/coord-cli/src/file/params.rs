//! The parameters of a workflow file.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::fault::FileFault;
use super::param_variable;
use super::walk::Walk;

/// Whether a parameter, or an output of a step, may be called so: its variable is made of it.
pub(super) fn is_param_name(name: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphabetic() || first == '_';
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.starts_with(begins) && name.bytes().all(continues)
}

/// Reads the parameters and their defaults.
pub(super) fn params(walk: &mut Walk<'_>, root: &DeTable<'_>) -> BTreeMap<String, String> {
    let params = walk.texts(root, "params");
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
    values
        .map(|(name, value)| (name, value.into_inner()))
        .collect()
}
