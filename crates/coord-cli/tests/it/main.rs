//! The program from outside: real files, real processes, real signals.

mod coord;
mod files;
mod interrupts;
mod json_lines;
mod output;
mod outcomes;
