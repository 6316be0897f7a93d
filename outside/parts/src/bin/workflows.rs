//! A workflow. It needs the feature `workflows`.
// without: the item is gated behind the `workflows` feature

use coordination::workflow::{StepError, Workflow};

fn main() {
    let mut workflow = Workflow::<()>::builder("release");
    workflow.step("build").run(async || Ok::<_, StepError>(()));
    assert!(workflow.build().is_ok());
}
