//! What the facade promises, seen from outside.

mod stage;

mod toggles;
mod starting;
mod shutdown;
mod ending;
mod health;
mod unhealthy_services;
mod errors;
mod services;
mod stopping;
mod bytes;
