//! Settings from variables of the environment.

use super::CoordinationConfig;
use super::fault::{ConfigFault, ConfigFaults};
use super::setting::{SETTINGS, Setting, meant};
use super::value::Value;
use crate::CoordinationError;

/// How the variables begin.
pub(super) const PREFIX: &str = "COORDINATION_";

impl CoordinationConfig {
    /// These settings, with those that the program's environment names as it says: the variable of a
    /// setting is its name in capitals after `COORDINATION_`, with `_` for a dot:
    /// `COORDINATION_EVENT_FLOWS_ENABLED=false`, `COORDINATION_UI_UPDATE_STREAM_RATE_LIMIT=30`,
    /// `COORDINATION_WORKFLOW_RESOURCES=gpu=1,disk=2`.
    ///
    /// What Kubernetes sets in each pod for a Service that is called `coordination`, such as
    /// `COORDINATION_SERVICE_HOST` and `COORDINATION_PORT_8080_TCP`, is none of these, and left alone.
    ///
    /// # Errors
    ///
    /// [`CoordinationError::Config`] with everything that is wrong: a variable that begins so and names
    /// no setting (with the one that was probably meant), or one of a part that is not compiled in; a
    /// value that is none for it, or out of its bounds.
    pub fn with_environment(self) -> Result<Self, CoordinationError> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        self.with_variables(variables)
    }

    /// [`with_environment`](Self::with_environment) of these variables. Those that do not begin with
    /// `COORDINATION_` are left alone, and so are those of Kubernetes.
    ///
    /// ```
    /// # #[cfg(feature = "event-flows")]
    /// # fn main() -> Result<(), coordination::CoordinationError> {
    /// use coordination::CoordinationConfig;
    ///
    /// let variables = [("COORDINATION_EVENT_FLOWS_ENABLED", "false"), ("HOME", "/root")];
    /// let config = CoordinationConfig::default().with_variables(variables)?;
    /// assert!(!config.event_flows_enabled);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "event-flows"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// [`CoordinationError::Config`].
    pub fn with_variables<N, V>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, CoordinationError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut faults = Vec::new();
        for (name, value) in variables {
            let (name, value) = (name.as_ref(), value.as_ref());
            match name.strip_prefix(PREFIX) {
                Some(rest) if !is_of_kubernetes(rest) => {}
                _ => continue,
            }
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => {
                    let set = setting.set(&mut self, Value::Variable(value));
                    let fault = |message| ConfigFault::of_variable(name, message, None);
                    faults.extend(set.map_err(fault).err());
                }
                None => {
                    let help = meant(name, SETTINGS.iter().map(Setting::variable));
                    let message = "there is no setting of this name".to_owned();
                    faults.push(ConfigFault::of_variable(name, message, help));
                }
            }
        }
        if faults.is_empty() {
            return Ok(self);
        }
        // The environment has no order.
        faults.sort_by(|one, other| one.place.cmp(&other.place));
        Err(ConfigFaults::new(faults).into())
    }
}

/// Whether it is what Kubernetes calls a variable for a Service, after the Service's name, or after the first word of
/// that. They begin like ours where it is `coordination` or `coordination-api`, and are in all pods, whatever these run.
fn is_of_kubernetes(rest: &str) -> bool {
    let words: Vec<_> = rest.split('_').collect();
    (0..words.len()).any(|name| is_of_a_service(&words[name..]))
}

fn is_of_a_service(words: &[&str]) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match *words {
        ["SERVICE", "HOST" | "PORT"] | ["SERVICE", "PORT", _, ..] | ["PORT"] => true,
        ["PORT", port, "TCP" | "UDP" | "SCTP"]
        | [
            "PORT",
            port,
            "TCP" | "UDP" | "SCTP",
            "PROTO" | "PORT" | "ADDR",
        ] => is_port(port),
        _ => false,
    }
}
