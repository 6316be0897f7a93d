//! Ready integration patterns on the bus of [`coord_bus`].
//!
//! A [`pattern`] is whatever does its work on a bus until it is stopped: one trait, and a registry
//! in which patterns are enabled, composed, listed and disabled by name. Beside it the engines, each
//! of which can be used alone:
//!
//! | module | feature | what it does |
//! |---|---|---|
//! | [`pattern`] | | the trait, its handle, and the registry [`IntegrationPatterns`](pattern::IntegrationPatterns) |
//! | [`process`] | | runs real processes in groups of their own, and makes events of what they do |
//! | [`service`] | | runs processes that are to stay, and asks them whether they are ready, and then whether they are well |
//! | [`services`] | | starts services that need each other in order, and stops them in reverse |
//! | `proc_stat` | | what Linux tells of a process: [`ProcStat`] |
//! | `audit` | `audit-trail` | writes who did what to a chain of entries in which no change goes unnoticed |
//! | `monitoring` | `process-monitoring` | watches processes: what they do and take, as dashboards and alerts |
//! | `cli` | `interactive-cli` | completes, checks, explains and predicts what a person types, and follows what is run |
//! | `ui` | `dynamic-ui` | follows a file of settings, the theme and the size of the terminal |
//!
//! No feature is on by default. Each brings what its pattern needs and nothing else: `audit-trail`
//! BLAKE3, `process-monitoring` sysinfo, `interactive-cli` clap, `dynamic-ui` notify and toml.

#[cfg(not(unix))]
compile_error!("coord-patterns runs processes in process groups, which only Unix has");

pub mod pattern;
mod proc_stat;
pub mod process;
pub mod service;
pub mod services;
#[cfg(feature = "audit-trail")]
pub mod audit;
#[cfg(feature = "process-monitoring")]
pub mod monitoring;
#[cfg(feature = "interactive-cli")]
pub mod cli;
#[cfg(feature = "dynamic-ui")]
pub mod ui;

pub use proc_stat::ProcStat;

#[cfg(all(doctest, feature = "http-probe"))]
#[doc = include_str!("../README.md")]
struct Readme;
