//! What conditions compare.

use std::collections::BTreeMap;

use super::{rendered, told, valid};
use crate::file::WorkflowFile;

fn file(condition: &str) -> String {
    format!(
        "[params]\nplain = 1\nflag = false\nn = {{ type = 'integer', default = 10 }}\n\
         share = {{ type = 'number', default = 0.5 }}\ndeploy = {{ type = 'boolean', default = false }}\n\
         [[step]]\nid = 'build'\nrun = 'x'\noutputs = ['size']\n\
         [[step]]\nid = 'a'\nrun = 'x'\nneeds = ['build']\nwhen = \"{condition}\"\n"
    )
}

fn holds(file: &WorkflowFile, given: &[(&str, &str)]) -> bool {
    let given: Vec<_> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let params = file.params_with(&given).expect("values of their types");
    let runs = file.conditions(&params, &BTreeMap::new());
    runs.unwrap_or_else(|faults| panic!("{}", rendered(&faults)))[1]
}

#[test]
fn parameters_are_compared_as_what_they_are() {
    for (condition, wanted) in [
        ("params.n > 9", true),
        ("params.n == 10", true),
        ("9 < params.n", true),
        ("params['n'] in [1, 10]", true),
        ("params.n + 1 == 11", true),
        ("params.share < 1", true),
        ("params.share == 0.5 and params.n > params.share", true),
        ("params.deploy", false),
        ("not params.deploy", true),
        ("params.deploy == true", false),
        ("params.deploy != true", true),
        ("params.deploy and params.n == 10", false),
        ("params.plain == '1' and params.flag == 'false'", true),
        ("params.plain | int == 1", true),
        ("params.n | string == '10'", true),
    ] {
        assert_eq!(holds(&valid(&file(condition)), &[]), wanted, "{condition}");
    }
    let given = valid(&file("params.deploy and params.n > 9"));
    assert!(holds(&given, &[("deploy", "true"), ("n", "11")]));
    assert!(!holds(&given, &[("deploy", "true"), ("n", "9")]));
}

#[test]
fn what_could_never_be_equal_is_told_before_anything_starts() {
    for (condition, fault, help) in [
        (
            "params.plain > 2",
            "params.plain is text, and 2 is a number, so they are never equal",
            "declare the parameter with type = \"integer\", or write params.plain | int",
        ),
        (
            "true != params.flag",
            "params.flag is text, and true is true or false",
            "such as params.flag == 'true', or declare the parameter with",
        ),
        (
            "params.deploy == 'true'",
            "params.deploy is true or false, and 'true' is text",
            "numbers, and true and false, stand without quotes",
        ),
        (
            "params.n in ['1', '2']",
            "params.n is a number, and '1' is text",
            "without quotes",
        ),
        (
            "params.n is eq '1'",
            "params.n is a number, and '1' is text",
            "without quotes",
        ),
        (
            "not params.flag",
            "params.flag is text, neither true nor false",
            "params.flag == 'true'",
        ),
        (
            "params.flag | bool",
            "params.flag is text, neither true nor false",
            "params.flag == 'true'",
        ),
        (
            "params.flag and params.deploy",
            "params.flag is text, neither true nor false",
            "params.flag == 'true'",
        ),
        (
            "params.n or params.deploy",
            "params.n is a number, neither true nor false",
            "params.n > 0",
        ),
        (
            "env.JOBS | default('1') > 4",
            "is text, and 4 is a number",
            "| int",
        ),
        (
            "steps.build.outputs.size > 4",
            "steps.build.outputs.size is text, and 4 is a number",
            "write steps.build.outputs.size | int",
        ),
        (
            "steps.build.outputs.size",
            "steps.build.outputs.size is text, neither true nor false",
            "such as steps.build.outputs.size == 'true'",
        ),
    ] {
        let told = told(&file(condition));
        let words: Vec<_> = told.split_whitespace().filter(|it| *it != "│").collect();
        let told = words.join(" ");
        assert!(told.contains(fault), "{condition}: {told}");
        assert!(told.contains(help), "{condition}: {told}");
    }
}
