//! The behaviour of coord-bus, from outside.

mod backoff;
mod byte_bus;
mod handles;
mod link;
mod local_bus;
mod log_kinds;
mod log_memory;
mod log_stress;
mod log_waiting;
mod memory_event_log;
mod model;
mod task_scope;
mod time;
mod vocabulary;
