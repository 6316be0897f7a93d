//! The behaviour of coord-bus, from outside.

mod backoff;
mod byte_bus;
mod describe;
mod group;
mod handler;
mod handles;
mod link;
mod local_bus;
mod log_memory;
mod log_stress;
mod log_waiting;
mod memory_event_log;
mod model;
mod pattern;
mod selection;
mod task_scope;
mod time;
mod vocabulary;
