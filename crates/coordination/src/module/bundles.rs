//! Patterns with the flows and the settings of streams that go with them.

use std::sync::{Arc, Weak};

use coord_bus::Failure;
use coord_flow::EventFlow;
#[cfg(any(
    feature = "error-recovery",
    feature = "process-monitoring",
    feature = "interactive-cli"
))]
use coord_flow::builtin;
use coord_patterns::pattern::Pattern;

use crate::bundle::{Bundle, Settings};
#[cfg(all(feature = "optimization", feature = "_pattern-streams"))]
use crate::streams::Stream;
use crate::{CoordinationError, CoordinationModule};

/// The patterns that are built in, each with what it needs of other parts. Each is registered, not
/// enabled, and given back, for what is asked of it besides. The flows and settings are there while
/// it is enabled; a flow that somebody else has added under the same name keeps it from being enabled.
///
/// The settings come on top of those that the [optimizer](Self::optimizer) has for the topic, from the
/// configuration or the program. When no pattern wants them any more, the topic has those again that it had
/// before; what the program has changed of them meanwhile is undone with them.
impl CoordinationModule {
    /// Registers the monitoring of processes, which publishes `dashboard-update`. While it is
    /// enabled:
    ///
    /// - the flows `process-output-to-log` and `process-health-to-log` run, beside those two that the
    ///   module has from the start, of lifecycles and crashes;
    /// - in batches, `process-output` comes when they are full, of 100 lines by default, or after 100 ms, and
    ///   `ui-update` with only the newest of each component.
    ///
    /// # Errors
    ///
    /// Those of [`register`](coord_patterns::pattern::IntegrationPatterns::register), and when
    /// `integration_patterns_enabled`, `event_flows_enabled` or `optimization_enabled` is off.
    #[cfg(all(feature = "process-monitoring", feature = "optimization"))]
    #[track_caller]
    pub fn create_process_monitoring_pattern(
        &self,
        config: coord_patterns::monitoring::ProcessMonitoringConfig,
    ) -> Result<coord_patterns::monitoring::ProcessMonitoring, CoordinationError> {
        let monitoring = coord_patterns::monitoring::ProcessMonitoring::new(config);
        let clock = Arc::clone(self.clock());
        let flows = move || {
            vec![
                builtin::process_output_to_log(Arc::clone(&clock)),
                builtin::process_health_to_log(),
            ]
        };
        let streams = self.streams(&[Stream::ProcessOutput, Stream::UiUpdate])?;
        self.register_bundle(monitoring.clone(), flows, streams)?;
        Ok(monitoring)
    }

    /// Registers an interactive command line for this command. While it is enabled:
    ///
    /// - the flows `cli-parse-to-ui` and `cli-command-to-ui` run: what is wrong with the line that is
    ///   typed, and how commands get on, become updates of a screen;
    /// - in batches, `cli-parse` comes after 50 ms of silence, and `ui-update` with only the newest of
    ///   each component.
    ///
    /// # Errors
    ///
    /// A history that cannot be read; those of
    /// [`register`](coord_patterns::pattern::IntegrationPatterns::register), and when
    /// `integration_patterns_enabled`, `event_flows_enabled` or `optimization_enabled` is off.
    #[cfg(all(feature = "interactive-cli", feature = "optimization"))]
    #[track_caller]
    pub fn create_interactive_cli_pattern(
        &self,
        command: coord_patterns::cli::Command,
        config: coord_patterns::cli::InteractiveCliConfig,
    ) -> Result<coord_patterns::cli::InteractiveCli, CoordinationError> {
        let cli = coord_patterns::cli::InteractiveCli::new(command, config)?;
        let flows = || vec![builtin::cli_parse_to_ui(), builtin::cli_command_to_ui()];
        let streams = self.streams(&[Stream::CliParse, Stream::UiUpdate])?;
        self.register_bundle(cli.clone(), flows, streams)?;
        Ok(cli)
    }

    /// Registers a dynamic user interface. While it is enabled, `ui-update` comes in batches with
    /// only the newest of each component.
    ///
    /// # Errors
    ///
    /// Those of [`register`](coord_patterns::pattern::IntegrationPatterns::register), and when
    /// `integration_patterns_enabled`, `event_flows_enabled` or `optimization_enabled` is off.
    #[cfg(all(feature = "dynamic-ui", feature = "optimization"))]
    #[track_caller]
    pub fn create_dynamic_ui_pattern(
        &self,
        config: coord_patterns::ui::DynamicUiConfig,
    ) -> Result<coord_patterns::ui::DynamicUi, CoordinationError> {
        let ui = coord_patterns::ui::DynamicUi::new(config);
        let streams = self.streams(&[Stream::UiUpdate])?;
        self.register_bundle(ui.clone(), Vec::new, streams)?;
        Ok(ui)
    }

    /// Registers services that need each other. While they are enabled, the flow
    /// `service-lifecycle-to-log` runs. For members that are restarted when they fail, see
    /// [`supervised_service`](Self::supervised_service).
    ///
    /// # Errors
    ///
    /// Those of [`register`](coord_patterns::pattern::IntegrationPatterns::register), and when
    /// `integration_patterns_enabled` or `event_flows_enabled` is off.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    #[track_caller]
    pub fn create_service_lifecycle_pattern(
        &self,
        services: coord_patterns::services::Services,
    ) -> Result<coord_patterns::services::Services, CoordinationError> {
        let flows = || vec![builtin::service_lifecycle_to_log()];
        self.register_bundle(services.clone(), flows, || Ok(Box::new(())))?;
        Ok(services)
    }

    #[track_caller]
    fn register_bundle(
        &self,
        pattern: impl Pattern + 'static,
        flows: impl Fn() -> Vec<EventFlow> + Send + Sync + 'static,
        streams: impl Fn() -> Result<Settings, Failure> + Send + Sync + 'static,
    ) -> Result<(), CoordinationError> {
        self.choreographer()?;
        let choreographer = self.choreographer.as_ref();
        let bundle = Bundle {
            pattern,
            choreographer: choreographer.map_or_else(Weak::new, Arc::downgrade),
            flows: Box::new(flows),
            streams: Box::new(streams),
        };
        Ok(self.patterns()?.register(bundle)?)
    }

    /// Has these streams as they are best for what they are for.
    #[cfg(all(feature = "optimization", feature = "_pattern-streams"))]
    fn streams(
        &self,
        wanted: &'static [crate::streams::Stream],
    ) -> Result<impl Fn() -> Result<Settings, Failure> + use<>, CoordinationError> {
        self.optimizer()?;
        let streams = self.streams.clone();
        Ok(move || -> Result<Settings, Failure> {
            let wanted = streams.as_ref().map(|streams| streams.want(wanted));
            Ok(Box::new(wanted.transpose()?))
        })
    }
}
