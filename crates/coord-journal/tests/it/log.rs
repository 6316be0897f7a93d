//! The journal as an event log.

mod conformance {
    coord_bus::conformance_event_log!(crate::off_runtime::OffRuntime::new());
}
