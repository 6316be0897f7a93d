//! Lines that need no shell do what they do with one.

use super::*;
use proptest::prelude::*;
use std::process::Command;

/// Prints each of its arguments in brackets.
const PRINT: &str = "/usr/bin/printf '[%s]'";

/// What a line prints, run with a shell and without.
fn printed(line: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    let print = |command: &mut Command| command.output().unwrap().stdout;
    let by_shell = print(Command::new(SHELL).args(["-c", line]));
    let words = words(line);
    let without = words.map(|words| print(Command::new(&words[0]).args(&words[1..])));
    (by_shell, without)
}

#[test]
fn plain_words_are_those_that_a_shell_makes_of_the_line() {
    for line in [
        "a",
        " a\t b  ",
        "a b\n",
        "--key=value -x +y @a 10% a:b,c ./d ../e / .",
        "if do done in cd echo",
        "'a b' \"c d\" '' \"\"",
        "'$HOME `x` \\ !' \"it's\" '\"'",
        "a'b c'd\"e f\"g",
        "'#' '~' '*' '[a]' '{a,b}' 'a;b' '&' '|' '<' '>' '(' '='",
    ] {
        let line = format!("{PRINT} {line}");
        let (by_shell, without) = printed(&line);
        let text = String::from_utf8_lossy(&by_shell).into_owned();
        assert!(text.starts_with('['), "{line}: {text}");
        assert_eq!(without, Some(by_shell), "{line}");
    }
    assert_eq!(words("\n make  -s \n").unwrap(), ["make", "-s"]);
}

#[test]
fn whatever_a_shell_may_see_something_in_is_left_to_it() {
    for line in [
        "",
        " ",
        "\n",
        "a\nb",
        "a;b",
        "a & b",
        "a|b",
        "a>b",
        "a <b",
        "a 2>&1",
        "(a)",
        "a()",
        "{ a; }",
        "! a",
        "a $b",
        "a `b`",
        "a \\b",
        "a *",
        "a ?",
        "a [b]",
        "a ~",
        "a ~b",
        "a {b,c}",
        "a #b",
        "a ^b",
        "a 'b",
        "a \"b",
        "a \"$b\"",
        "a \"`b`\"",
        "a \"\\b\"",
        "a \"!b\"",
        "a 'b\nc'",
        "a=b",
        "a=b c",
        "a =b",
        "'a' b",
        "a\u{a0}b",
        "a ü",
        "a 'ü'",
        "a \u{7f}",
        "a '\u{1}'",
        "%1",
        "@a",
        "-x",
        "+x a",
        "if",
        "cd /",
        "echo a",
        ". a",
        ": a",
        "[ a ]",
        "test a",
        "exit 3",
        "exec a",
        "time a",
        "kill 1",
        "pwd",
        "true",
        "trap a 0",
        "ulimit -n",
        "wait",
        "which a",
    ] {
        assert_eq!(words(line), None, "{line:?}");
    }
}

#[test]
fn the_shell_is_left_out_only_where_a_name_leads_both_to_the_same_program() {
    let of = |spec| of(&spec).is_some();
    let line = |line| ProcessSpec::shell("build", line);
    assert!(of(line("make all")));
    assert!(of(line("make all").env("MAKE", "make").dir("/")));
    assert!(!of(line("make all").env("PATH", "/opt")));
    assert!(of(line("/bin/make all").env("PATH", "/opt")));
    assert!(!of(line("make all").env("BASH_FUNC_make%%", "() { true; }")));
    assert!(!of(
        ProcessSpec::program("build", "sh").args(["-c", "make all"])
    ));
    assert!(!of(line("make all").args(["more"])));
}

#[test]
fn a_word_of_the_shell_is_a_program_where_it_stands_as_a_path() {
    assert_eq!(words("/bin/echo a").unwrap(), ["/bin/echo", "a"]);
    assert_eq!(words("./test a").unwrap(), ["./test", "a"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Of lines made of what shells look for, and of what they do not.
    #[test]
    fn a_line_without_a_shell_prints_what_it_prints_with_one(
        line in "([a-c=~%@+:,./0-9-]|['\"]|[ \t]|[ ab]|['\"][ a$*~#;!]{0,3}['\"]|[$*#;&\\\\!`]){0,12}"
    ) {
        let (by_shell, without) = printed(&format!("{PRINT} {line}"));
        if let Some(without) = without {
            prop_assert_eq!(without, by_shell);
        }
    }

    /// Of lines that need none.
    #[test]
    fn plain_and_quoted_words_need_no_shell(
        line in "([ \t]([a-zA-Z0-9_./,:@%+-][a-zA-Z0-9_./,:@%+=-]{0,5}|'[ -&(-~]{0,5}'|\"[ #%-&(-\\[\\]-_a-~]{0,5}\")){1,6}"
    ) {
        let (by_shell, without) = printed(&format!("{PRINT}{line}"));
        prop_assert_eq!(without, Some(by_shell));
    }
}
