//! What coord-recovery promises, seen from outside.

mod stage;

mod restarting;
mod by_hand;
mod restart_strategy;
mod ready;
mod stopping;
mod telling;
mod full_topics;
mod bounds;
mod model;
mod patterns;
mod strategies;
mod statistics;
mod policy;
mod recovering;
mod defaults;
mod guarding;
mod guarding_keys;
#[cfg(feature = "tracing")]
mod traced;
mod grouping;
mod in_order;
mod nested;
mod group_model;
