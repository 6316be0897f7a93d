//! The event log in memory.

mod conformance {
    coord_bus::conformance_event_log!(coord_bus::MemoryEventLog::new());
}
