//! Ready integration patterns on the bus of [`coord_bus`].
//!
//! So far one: [`process`] runs real processes, and makes events of what they do.

#[cfg(not(unix))]
compile_error!("coord-patterns runs processes in process groups, which only Unix has");

pub mod process;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
