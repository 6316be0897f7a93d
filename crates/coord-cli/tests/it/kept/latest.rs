//! What is meant by a command about a run that names none.

use super::said;
use crate::coord::{Done, Folder, Running, done};

/// A folder with a run `failed`, as a file is missing, and then a run `well` of something else.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write(
        "bad.toml",
        "[[step]]\nid = 'first'\nrun = 'true'\n\
         [[step]]\nid = 'fixed'\nneeds = ['first']\nrun = 'test -e fixed'\n",
    );
    folder.write("good.toml", "[[step]]\nid = 'lint'\nrun = 'true'\n");
    done(folder.coord(["run", "bad.toml", "--id", "failed"])).exits(100);
    folder
}

fn and_one_that_went_well(folder: &Folder) {
    done(folder.coord(["run", "good.toml", "--id", "well"])).exits(0);
}

#[track_caller]
fn refused(done: &Done, because: &[&str]) {
    done.exits(96);
    let said = said(done);
    for because in because {
        assert!(said.contains(because), "no {because:?} in {said}");
    }
}

#[test]
fn without_a_run_the_latest_is_shown_reported_and_asked() {
    let folder = folder();
    done(folder.coord(["show"]))
        .exits(0)
        .says("run failed of bad: failed");
    done(folder.coord(["report", "--output", "text"]))
        .exits(0)
        .says("bad: run failed");
    done(folder.coord(["why", "fixed"]))
        .exits(0)
        .says("fixed: exit code 1");
    done(folder.coord(["why", "failed", "first"])).exits(0);
    and_one_that_went_well(&folder);
    done(folder.coord(["show"])).says("run well of good: completed");
    done(folder.coord(["report", "--output", "json"])).says("\"run\": \"well\"");
    done(folder.coord(["why", "lint"])).exits(0);
    let of_other = done(folder.coord(["why", "fixed"]));
    refused(&of_other, &["no step `fixed` in run `well`"]);
    let no_step = done(folder.coord(["why", "failed"]));
    refused(&no_step, &["`coord why failed STEP`"]);
}

#[test]
fn without_a_run_that_there_is_none_is_told() {
    let folder = folder();
    for command in ["show", "report", "retry"] {
        let none = done(folder.coord([command, "--journal", "nowhere"]));
        refused(&none, &["there is no journal"]);
    }
}

#[test]
fn without_a_run_the_latest_is_retried_where_something_of_it_is_to_be_done_again() {
    let folder = folder();
    folder.write("fixed", "");
    done(folder.coord(["retry"])).exits(0).says("run failed");
    let nothing = done(folder.coord(["retry"]));
    let well = [
        "the latest run is `failed`",
        "every step is done",
        "`coord retry failed --from STEP`",
    ];
    refused(&nothing, &well);
    done(folder.coord(["retry", "--from", "fixed"])).exits(0);
    let wrong = done(folder.coord(["retry", "--from", "fixd"]));
    refused(&wrong, &["did you mean `fixed`?"]);
}

#[test]
fn without_a_run_no_other_than_the_latest_is_retried_but_named() {
    let folder = folder();
    and_one_that_went_well(&folder);
    let refusal = done(folder.coord(["retry"]));
    refused(
        &refusal,
        &["the latest run is `well`", "`coord retry failed` does"],
    );
    folder.write(
        "waits.toml",
        "[[step]]\nid = 'approval'\nsignal = 'approved'\n",
    );
    let waits = ["run", "waits.toml", "--id", "goes", "--output", "jsonl"];
    let mut running = Running::start(folder.coord(waits));
    running.until("\"approval\"");
    let refusal = done(folder.coord(["retry"]));
    let goes_on = ["`goes`", "it goes on", "`coord attach goes`"];
    refused(&refusal, &goes_on);
    super::kill(running);
    super::list(&folder, "interrupted");
    let refusal = done(folder.coord(["retry"]));
    refused(&refusal, &["it was interrupted", "`coord resume goes`"]);
}
