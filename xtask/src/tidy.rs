//! The rules of the house that no other tool enforces, over every source file.

mod doors;
mod imports;
mod marks;
mod shape;
mod source;

use std::fs;

use crate::workspace;
use source::Source;

/// Where sources are.
const SOURCES: [&str; 4] = ["crates/*.rs", "xtask/*.rs", "benches/*.rs", "outside/*.rs"];

/// One breach of a rule: where, what is wrong, and what to do.
struct Finding {
    line: usize,
    text: String,
}

impl Finding {
    fn new(line: usize, text: impl Into<String>) -> Self {
        Self {
            line,
            text: text.into(),
        }
    }
}

pub(crate) fn check() -> Result<(), String> {
    let mut count = 0;
    for path in workspace::files(&SOURCES)? {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        for Finding { line, text } in findings(&path, &text) {
            println!("{path}:{line}: {text}");
            count += 1;
        }
    }
    match count {
        0 => Ok(()),
        1 => Err("1 finding, above".to_owned()),
        _ => Err(format!("{count} findings, above")),
    }
}

fn findings(path: &str, text: &str) -> Vec<Finding> {
    let source = match Source::read(path, text) {
        Ok(source) => source,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    findings.extend(shape::name(&source));
    findings.extend(shape::opening(&source));
    findings.extend(shape::length(&source));
    findings.extend(shape::example_length(&source));
    findings.extend(shape::function_lengths(&source));
    findings.extend(marks::in_code(&source));
    findings.extend(marks::in_comments(&source));
    findings.extend(doors::findings(&source));
    findings.sort_by_key(|finding| finding.line);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tidy prints of a source file, without its path.
    pub(super) fn printed(path: &str, text: &str) -> Vec<String> {
        let line = |finding: &Finding| format!("{}: {}", finding.line, finding.text);
        findings(path, text).iter().map(line).collect()
    }

    #[test]
    fn a_tidy_file_has_no_finding() {
        let text = "//! A file.\n\n/// tokio::spawn in prose.\nfn a() -> &'static str {\n    \
                    // thread::sleep in prose\n    \"tokio::time::sleep, todo!()\"\n}\n";
        assert_eq!(
            printed("crates/coord-bus/src/a.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_file_that_is_no_rust_is_named_with_its_line() {
        let printed = printed("crates/coord-bus/src/a.rs", "//! A file.\nfn a() { ] }\n");
        assert_eq!(
            printed,
            ["2: this is no Rust; build the crate to see what is wrong"]
        );
    }

    #[test]
    fn findings_come_in_the_order_of_their_lines() {
        let printed = printed("crates/coord-bus/src/mod.rs", "fn a() {\n    todo!()\n}\n");
        let lines: Vec<_> = printed.iter().map(|line| &line[..2]).collect();
        assert_eq!(lines, ["1:", "1:", "2:"]);
    }
}
