//! Ready integration patterns on the bus of [`coord_bus`].
//!
//! So far two: [`process`] runs real processes, and makes events of what they do; [`service`] runs
//! those that are to stay, and asks them whether they are ready, and then whether they are well.

#[cfg(not(unix))]
compile_error!("coord-patterns runs processes in process groups, which only Unix has");

pub mod pattern;
mod nearest;
pub mod process;
pub mod service;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
