//! What a command says of a service, by its exit code.

use coord_bus::Causes;

use crate::process::{ProcessRunner, ProcessSpec};
use crate::service::answer::Answer;

/// Runs a shell line where the service runs.
pub(super) async fn ask(line: &str, service: &ProcessSpec, processes: &ProcessRunner) -> Answer {
    let mut spec = ProcessSpec::shell(&*service.name, line);
    spec.dir.clone_from(&service.dir);
    spec.environment.clone_from(&service.environment);
    spec.not_inherited.clone_from(&service.not_inherited);
    spec.secrets.clone_from(&service.secrets);
    match processes.run_quietly(&spec).await {
        Ok((exit, _)) if exit.is_success() => Answer::good(&exit.to_string()),
        Ok((exit, Some(line))) => Answer::bad(&format!("{exit}: {line}")),
        Ok((exit, None)) => Answer::bad(&exit.to_string()),
        Err(error) => Answer::bad(&error.with_causes()),
    }
}
