//! EventChoreographer: typed flows between the topics of a bus.
