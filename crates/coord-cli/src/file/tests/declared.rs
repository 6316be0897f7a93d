//! What a file declares, and who takes it: resources, parameters, outputs and lists.

use super::{found, told};

#[test]
fn outputs_that_nobody_puts_out_or_needs_are_told() {
    let text = r#"[[step]]
id = "version"
run = "x"
outputs = ["tag", "9", "tag"]
hooks = { timeout = "1s" }
[[step]]
id = "build"
run = "x"
needs = ["version"]
[[step]]
id = "publish"
run = "x"
needs_any = ["build"]
[step.env]
A = { output = "version.tag" }
B = { output = "version.tags" }
C = { output = "vesion.tag" }
D = { output = "build.log" }
E = { outputs = "build.log" }
"F=" = { output = "version" }
[[step]]
id = "waits"
sleep = "1s"
outputs = ["a"]
[[service]]
id = "serves"
run = "x"
env = { A = { output = "version.tag" } }
"#;
    let wanted = [
        ("output_name", 4),
        ("no_hook", 5),
        ("output_not_needed", 15),
        ("unknown_output", 16),
        ("unknown_output", 17),
        ("unknown_output", 18),
        ("wrong_type", 19),
        ("unknown_key", 19),
        ("variable_name", 20),
        ("unknown_output", 20),
        ("useless_key", 24),
        ("wrong_type", 28),
    ];
    let wanted = wanted.map(|(code, line)| (code.to_owned(), line));
    assert_eq!(found(text), wanted);
    let told = told(text);
    for help in [
        "add \"version\" to its `needs`",
        "did you mean \"version.tag\"?",
        "did you mean the step \"version\"?",
        "declare it in the step \"build\": outputs = [\"log\"]",
        "say which: version.NAME",
    ] {
        assert!(told.contains(help), "{help} is not in {told}");
    }
}

#[test]
fn parameters_and_profiles_that_cannot_be_are_told() {
    let text = r#"[params]
a = { type = "int", default = 1 }
b = { type = "integer", default = "x" }
c = { choices = ["on", "off"], default = true }
d = { type = "boolean", default = true, enum = ["x"] }
e = { default = [1], choices = "x" }
"f g" = { default = "" }
[profile.one]
params = { d = "yes", g = 1, b = 7 }
env = { "=" = "x" }
steps = []
[profile."two words"]
[profile]
three = 3
[[step]]
id = "a"
run = "x"
when = "params.f == 'x'"
"#;
    let wanted = [
        ("word", 2),
        ("param_value", 3),
        ("param_value", 4),
        ("unknown_key", 5),
        ("wrong_type", 6),
        ("wrong_type", 6),
        ("param_name", 7),
        ("param_value", 9),
        ("unknown_param", 9),
        ("variable_name", 10),
        ("unknown_key", 11),
        ("name", 12),
        ("wrong_type", 14),
        ("unknown_param", 18),
    ];
    let wanted = wanted.map(|(code, line)| (code.to_owned(), line));
    assert_eq!(found(text), wanted);
    assert!(told(text).contains("use \"string\", \"integer\", \"number\" or \"boolean\""));
}

#[test]
fn lists_that_are_none_are_told() {
    let text = r#"[[step]]
id = "a"
run = "x"
outputs = ["list"]
for_each = ["x", [1], "nul\u0000"]
[[step]]
id = "b"
run = "x"
needs = ["a"]
for_each = { output = "a.list", max_parallel = 0 }
[[step]]
id = "c"
run = "x"
for_each = { items = ["x"], param = "y" }
[[step]]
id = "d"
run = "x"
for_each = { output = "a.lost", parallel = 3 }
[[step]]
id = "e"
run = "x"
for_each = {}
[[step]]
id = "f"
sleep = "1s"
for_each = "x"
"#;
    let wanted = [
        ("wrong_type", 5),
        ("nul", 5),
        ("out_of_range", 10),
        ("no_items", 14),
        ("unknown_param", 14),
        ("unknown_output", 18),
        ("unknown_key", 18),
        ("no_items", 22),
        ("useless_key", 26),
        ("wrong_type", 26),
    ];
    let wanted = wanted.map(|(code, line)| (code.to_owned(), line));
    assert_eq!(found(text), wanted);
}

#[test]
fn resources_that_are_not_there_or_not_enough_are_told() {
    let text = r#"[resources]
gpu = 2
disk = 0
"a b" = 1
[[step]]
id = "a"
run = "x"
resources = { gpu = 3, gpus = 1, disk = 4, port = "1" }
[[step]]
id = "b"
run = "x"
resources = ["gpu"]
[[service]]
id = "c"
run = "x"
resources = { gpu = 1 }
"#;
    let wanted = [
        ("out_of_range", 3),
        ("name", 4),
        ("too_much_of_resource", 8),
        ("unknown_resource", 8),
        ("unknown_resource", 8),
        ("wrong_type", 12),
        ("unknown_key", 16),
    ];
    let wanted = wanted.map(|(code, line)| (code.to_owned(), line));
    assert_eq!(found(text), wanted);
    let told = told(text);
    assert!(
        told.contains("there are 2") && told.contains("did you mean \"gpu\"?"),
        "{told}"
    );
    assert!(
        told.contains("declare it under [resources]: port = 1"),
        "{told}"
    );
}

#[test]
fn what_is_taken_for_something_else_is_told_as_what_works() {
    let text = r#"[secrets]
TOKEN = { command = "pass show 'my token'" }
[[service]]
id = "db"
run = "x"
[[step]]
id = "nap"
sleep = "1s"
[[step]]
id = "list"
run = ["echo", "hi"]
needs = ["db", "nap"]
env = { A = { output = "db.url" }, B = { output = "nap.x" } }
[[step]]
id = "line"
command = "echo 'a b' c"
"#;
    let wanted = [
        ("wrong_type", 2),
        ("wrong_type", 11),
        ("unknown_output", 13),
        ("unknown_output", 13),
        ("wrong_type", 16),
    ];
    let mut wanted: Vec<_> = wanted.map(|(code, line)| (code.to_owned(), line)).into();
    let mut found = found(text);
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    let told = told(text);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for help in [
        r#"each word for itself: ["pass", "show", "my token"]"#,
        "a program and its arguments are `command`",
        "a service puts nothing out: only a step does",
        "a step that sleeps puts nothing out",
        r#"each word for itself: ["echo", "a b", "c"]; a line for a shell is `run`"#,
    ] {
        assert!(told.contains(help), "{help} is not in {told}");
    }
}

#[test]
fn a_variable_that_no_shell_can_name_is_refused_where_one_would_take_it() {
    let text = r#"[env]
"A B" = "1"
"c.d" = "for programs"
[[step]]
id = "a"
run = "x"
env = { "e-f" = "1", "2G" = "1", H_2 = "1" }
[[step]]
id = "b"
command = ["x"]
env = { "i.j" = "1" }
"#;
    let wanted = [2, 7, 7].map(|line| ("variable_name".to_owned(), line));
    assert_eq!(found(text), wanted);
    let told = told(text);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ["A_B", "e_f", "_2G"] {
        assert!(told.contains(&format!("such as {name}")), "{told}");
    }
}
