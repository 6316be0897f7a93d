//! The bus of one process.

mod conformance {
    coord_bus::conformance_bus!(coord_bus::LocalBus::new());
}
