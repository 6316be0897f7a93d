//! The journal as a keeper of leases.

mod conformance {
    coord_bus::conformance_lease!(crate::off_runtime::OffRuntime::new());
}
