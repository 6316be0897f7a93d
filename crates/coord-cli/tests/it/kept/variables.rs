//! What the processes of a run are told of it in variables.

use super::{effects, kill, list, started};
use crate::coord::{Folder, done, unmarked};

#[test]
fn who_takes_a_run_up_has_a_larger_fencing_token_and_the_same_in_all_steps() {
    let told = "echo $COORD_FENCING_TOKEN >> effects";
    let file = format!(
        "[[step]]\nid = 'first'\nrun = '{told}; echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'last'\nneeds = ['first']\nrun = '{told}'\n"
    );
    let (folder, running) = started(&file, "began", 1);
    kill(running);
    list(&folder, "interrupted");
    folder.write("go", "");
    done(folder.coord(["resume"])).exits(0);
    let tokens = effects(&folder);
    let tokens: Vec<u64> = tokens.iter().map(|token| token.parse().unwrap()).collect();
    let [before, after, last] = tokens[..] else {
        panic!("{tokens:?}");
    };
    assert!(before == 1 && after > 1 && last == after, "{tokens:?}");
}

/// The variables of an environment that begin so.
fn variables(printed: &str) -> Vec<(String, String)> {
    let lines = printed.lines().filter(|line| line.starts_with("COORD_"));
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn a_step_is_told_what_it_is() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'w'\n[[step]]\nid = 's'\nrun = 'env | sort > told.$COORD_ATTEMPT; test $COORD_ATTEMPT = 2'\n\
         retry = { max_attempts = 2, initial = '1ms' }\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let [first, told] = ["told.1", "told.2"].map(|file| {
        let mut told = variables(&unmarked(&folder.read(file).unwrap()));
        let process = told.iter().position(|(name, _)| name == "COORD_PROCESS");
        (told.remove(process.unwrap()).1, told)
    });
    // No process has that of another.
    assert_ne!(first.0, told.0);
    let told: Vec<_> = told
        .1
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        told,
        [
            ("COORD_ATTEMPT", "2"),
            ("COORD_FENCING_TOKEN", "1"),
            ("COORD_IDEMPOTENCY_KEY", "r/s"),
            ("COORD_RUN_ID", "r"),
            ("COORD_STEP", "s"),
            ("COORD_WORKFLOW", "w"),
        ]
    );
}
