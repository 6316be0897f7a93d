//! The behaviour of coord-bus, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod backoff;
mod byte_bus;
mod describe;
mod duration;
mod cancelling;
mod faults;
mod group;
mod handler;
mod handler_room;
mod handles;
mod link;
mod local_bus;
mod log_forwarder;
mod lease_hold;
mod lease_model;
mod log_kinds;
mod log_memory;
mod log_stress;
mod log_waiting;
mod memory_event_log;
mod memory_leases;
mod memory_work_queue;
mod model;
mod pattern;
mod recording_bus;
mod redelivery;
mod request;
mod selection;
mod task_scope;
mod time;
mod vocabulary;
mod work_queue_model;
