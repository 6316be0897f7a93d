//! coord-patterns
