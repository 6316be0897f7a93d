//! What an append survives.

/// What an acknowledged append survives, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing but time: it ends with the process, or with the log.
    Memory,
    /// The end of the process at any point, but not a loss of power.
    Process,
    /// A loss of power, too.
    Disk,
}
