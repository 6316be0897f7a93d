//! Zsh: what it reads is what the engine writes for it, and the script is one of ours. That of `clap_complete` hands
//! over a word with a quote that is still open, and lets a space follow a name that a value has to follow.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::env;
use clap_complete::env::EnvCompleter;

use super::write_filled;

/// To be read where a shell begins, or to be a file `_coord` where Zsh looks for functions.
const SCRIPT: &str = r#"#compdef PROGRAM
_coord() {
    local -a lines open whole
    local -a typed=("${words[@]}")
    typed[CURRENT]="$PREFIX"
    local line
    lines=("${(@f)$(
        VARIABLE=zsh _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) _CLAP_IFS=$'\n' \
            COMPLETER -- "${typed[@]}" 2> /dev/null
    )}")
    for line in $lines; do
        if [[ ${${line//\\:/}%%:*} == *[=/] ]]; then
            open+=("$line")
        else
            whole+=("$line")
        fi
    done
    [[ -n $whole ]] && _describe -V values whole
    [[ -n $open ]] && _describe -V values open -S ''
}
if [[ ${funcstack[1]} == _coord ]]; then
    _coord "$@"
else
    compdef _coord PROGRAM
fi
"#;

pub(super) struct Zsh;

impl EnvCompleter for Zsh {
    fn name(&self) -> &'static str {
        env::Zsh.name()
    }

    fn is(&self, name: &str) -> bool {
        env::Zsh.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        _name: &str,
        program: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        write_filled(SCRIPT, [variable, program, completer], out)
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        args: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        env::Zsh.write_complete(command, args, folder, out)
    }
}
