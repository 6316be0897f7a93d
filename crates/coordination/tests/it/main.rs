//! What the facade promises, seen from outside.
