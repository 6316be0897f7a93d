//! The settings that a file and variables may name: one table for both.

#[cfg(feature = "optimization")]
use std::num::NonZeroU32;
#[cfg(feature = "workflows")]
use std::num::NonZeroUsize;

use coord_bus::text::nearest;

use super::CoordinationConfig;
use super::value::Value;

type Set = fn(&mut CoordinationConfig, Value<'_>) -> Result<(), String>;

/// Something that can be set.
pub(super) struct Setting {
    /// Its name, which is that of the field, or of a field in it after a dot.
    pub(super) path: &'static str,
    feature: &'static str,
    /// How it is set; `None` where its feature is off.
    set: Option<Set>,
}

impl Setting {
    /// The setting of this path.
    pub(super) fn find(path: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.path == path)
    }

    /// Whether there are settings below this path.
    pub(super) fn is_table(path: &str) -> bool {
        let below = |setting: &Self| setting.path.split_once('.').map(|(table, _)| table);
        SETTINGS.iter().any(|setting| below(setting) == Some(path))
    }

    /// The name of the variable that sets it.
    pub(super) fn variable(&self) -> String {
        let name = self.path.replace('.', "_").to_uppercase();
        format!("{}{name}", super::environment::PREFIX)
    }

    pub(super) fn set(
        &self,
        config: &mut CoordinationConfig,
        value: Value<'_>,
    ) -> Result<(), String> {
        match self.set {
            Some(set) => set(config, value),
            None => Err(format!(
                "`{}` is of a part that this program was built without: the feature `{}` of the crate \
                 `coordination`",
                self.path, self.feature
            )),
        }
    }
}

/// Which of these names was probably meant.
pub(super) fn meant(written: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<_> = names.collect();
    let name = nearest(written, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{name}`?"))
}

/// A setting of a feature: `$set` is compiled with it alone.
macro_rules! setting {
    ($path:literal, $feature:tt, $set:expr) => {
        Setting {
            path: $path,
            feature: $feature,
            #[cfg(feature = $feature)]
            set: Some($set),
            #[cfg(not(feature = $feature))]
            set: None,
        }
    };
}

/// A setting that is on or off.
macro_rules! flag {
    ($path:literal, $feature:tt, $field:ident) => {
        setting!($path, $feature, |config, value| {
            config.$field = value.flag()?;
            Ok(())
        })
    };
}

/// A setting that is a time.
macro_rules! time {
    ($path:literal, $feature:tt, $field:ident) => {
        setting!($path, $feature, |config, value| {
            config.$field = value.duration()?;
            Ok(())
        })
    };
}

/// The settings of a stream.
macro_rules! buffer_size {
    ($path:literal, $field:ident) => {
        setting!($path, "optimization", |config, value| {
            let size = value.number(&(1..=coord_optimize::MAX_BUFFER_SIZE as u64))?;
            config.$field.buffer_size = usize::try_from(size).unwrap_or(usize::MAX);
            Ok(())
        })
    };
}
macro_rules! rate_limit {
    ($path:literal, $field:ident) => {
        setting!($path, "optimization", |config, value| {
            config.$field.rate_limit = rate(value)?;
            Ok(())
        })
    };
}

macro_rules! interval {
    ($path:literal, $feature:literal, $field:ident) => {
        setting!($path, $feature, |config, value| {
            config.$field = match value.is("never") {
                true => None,
                false => Some(value.duration()?),
            };
            Ok(())
        })
    };
}

/// The most batches a second that timers of a millisecond can give.
#[cfg(feature = "optimization")]
fn rate(value: Value<'_>) -> Result<Option<NonZeroU32>, String> {
    if value.is("none") {
        return Ok(None);
    }
    let times = value.number(&(1..=1000));
    let times = times.map_err(|expected| format!("{expected}; \"none\" is for no limit"))?;
    Ok(u32::try_from(times).ok().and_then(NonZeroU32::new))
}

pub(super) const SETTINGS: &[Setting] = &[
    flag!("event_flows_enabled", "event-flows", event_flows_enabled),
    flag!("workflows_enabled", "workflows", workflows_enabled),
    flag!("optimization_enabled", "optimization", optimization_enabled),
    flag!(
        "performance_monitoring_enabled",
        "performance-monitoring",
        performance_monitoring_enabled
    ),
    flag!(
        "error_recovery_enabled",
        "error-recovery",
        error_recovery_enabled
    ),
    flag!(
        "integration_patterns_enabled",
        "integration-patterns",
        integration_patterns_enabled
    ),
    buffer_size!("process_output_stream.buffer_size", process_output_stream),
    rate_limit!("process_output_stream.rate_limit", process_output_stream),
    buffer_size!("cli_command_stream.buffer_size", cli_command_stream),
    rate_limit!("cli_command_stream.rate_limit", cli_command_stream),
    buffer_size!("ui_update_stream.buffer_size", ui_update_stream),
    rate_limit!("ui_update_stream.rate_limit", ui_update_stream),
    interval!(
        "stream_reporting_interval",
        "optimization",
        stream_reporting_interval
    ),
    time!("workflow_grace", "workflows", workflow_grace),
    time!("compensation_timeout", "workflows", compensation_timeout),
    setting!(
        "workflow_total_concurrency",
        "workflows",
        |config, value| {
            let steps = match value.is("none") {
                true => None,
                false => {
                    NonZeroUsize::new(usize::try_from(value.number(&(1..=65_536))?).unwrap_or(1))
                }
            };
            config.workflow_total_concurrency = steps;
            Ok(())
        }
    ),
    setting!("workflow_resources", "workflows", |config, value| {
        config.workflow_resources = value.counts()?;
        Ok(())
    }),
    setting!(
        "performance_sampling_interval",
        "performance-monitoring",
        |config, value| {
            let interval = value.duration()?;
            if interval < coord_monitor::MIN_INTERVAL {
                let least = coord_monitor::MIN_INTERVAL;
                return Err(format!("it is {interval:?}, and {least:?} at least"));
            }
            config.performance_sampling_interval = interval;
            Ok(())
        }
    ),
    setting!(
        "performance_history",
        "performance-monitoring",
        |config, value| {
            let samples = value.number(&(0..=coord_monitor::MAX_HISTORY as u64))?;
            config.performance_history = usize::try_from(samples).unwrap_or(usize::MAX);
            Ok(())
        }
    ),
    interval!(
        "performance_reporting_interval",
        "performance-monitoring",
        performance_reporting_interval
    ),
    flag!("performance_log", "performance-monitoring", performance_log),
    flag!("performance_export", "metrics", performance_export),
];
