//! The leases in memory.

mod conformance {
    coord_bus::conformance_lease!(coord_bus::MemoryLeases::new());
}
