//! The patterns that are built in, made and registered in one go.

#[cfg(feature = "audit-trail")]
use std::sync::Arc;

use super::IntegrationPatterns;
#[cfg(feature = "audit-trail")]
use crate::audit::{AuditConfig, AuditTrail};
#[cfg(feature = "interactive-cli")]
use crate::cli::{CliError, InteractiveCli, InteractiveCliConfig};
#[cfg(feature = "process-monitoring")]
use crate::monitoring::{ProcessMonitoring, ProcessMonitoringConfig};
use crate::pattern::PatternError;
use crate::services::Services;
#[cfg(feature = "dynamic-ui")]
use crate::ui::{DynamicUi, DynamicUiConfig};

/// The patterns that are built in. Each is registered, not enabled, and given back, for what is
/// asked of it besides.
impl IntegrationPatterns {
    /// Registers an audit trail in this log; what it records besides `audit-log` is said in
    /// `describe`: [`AuditTrail::topic`].
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    #[cfg(feature = "audit-trail")]
    #[track_caller]
    pub fn create_audit_trail_pattern(
        &self,
        log: Arc<dyn coord_bus::EventLog>,
        config: AuditConfig,
        describe: impl FnOnce(AuditTrail) -> AuditTrail,
    ) -> Result<AuditTrail, PatternError> {
        let trail = describe(AuditTrail::new(log, config));
        self.register(trail.clone())?;
        Ok(trail)
    }

    /// Registers the monitoring of processes.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    #[cfg(feature = "process-monitoring")]
    #[track_caller]
    pub fn create_process_monitoring_pattern(
        &self,
        config: ProcessMonitoringConfig,
    ) -> Result<ProcessMonitoring, PatternError> {
        let monitoring = ProcessMonitoring::new(config);
        self.register(monitoring.clone())?;
        Ok(monitoring)
    }

    /// Registers an interactive command line for this command.
    ///
    /// # Errors
    ///
    /// [`CliError::History`], or those of [`register`](Self::register) as [`CliError::Pattern`].
    #[cfg(feature = "interactive-cli")]
    #[track_caller]
    pub fn create_interactive_cli_pattern(
        &self,
        command: clap::Command,
        config: InteractiveCliConfig,
    ) -> Result<InteractiveCli, CliError> {
        let cli = InteractiveCli::new(command, config)?;
        self.register(cli.clone())?;
        Ok(cli)
    }

    /// Registers a dynamic user interface.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    #[cfg(feature = "dynamic-ui")]
    #[track_caller]
    pub fn create_dynamic_ui_pattern(
        &self,
        config: DynamicUiConfig,
    ) -> Result<DynamicUi, PatternError> {
        let ui = DynamicUi::new(config);
        self.register(ui.clone())?;
        Ok(ui)
    }

    /// Registers services that need each other.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    #[track_caller]
    pub fn create_service_lifecycle_pattern(
        &self,
        services: Services,
    ) -> Result<Services, PatternError> {
        self.register(services.clone())?;
        Ok(services)
    }
}
