//! The bus that carries bytes.

mod conformance {
    coord_bus::conformance_bus!(coord_bus::ByteBus::new());
}
