//! The facts of runs, replayed.
