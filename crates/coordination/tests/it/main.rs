//! What the facade promises, seen from outside.

mod stage;

mod parts;
mod starting;
mod errors;
mod services;
mod health;
mod shutdown;
mod kills;
