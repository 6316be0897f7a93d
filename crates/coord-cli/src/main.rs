//! coord
mod file;

fn main() {}
