//! What the facade promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;

mod parts;
mod patterns;
mod starting;
mod errors;
mod examples;
mod monitored;
mod services;
mod health;
mod shutdown;
mod kills;
