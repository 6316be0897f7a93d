//! What whoever runs a process may look at, besides what is published of it.

/// Looks at a process while it runs.
pub(crate) trait Watch {
    /// It has started.
    fn started(&self, pid: u32);

    /// It has printed this line, or part of one, fit to be shown: `true` to be told when that was
    /// published.
    fn line(&self, text: &str) -> bool;

    /// The line that [`line`](Self::line) was `true` for was published.
    fn published(&self);

    /// It has ended, and its group with it. What it printed may still have to be published.
    fn ended(&self);
}

/// Each line is told of.
pub(super) struct Printed<F>(pub(super) F);

impl<F: Fn(&str)> Watch for Printed<F> {
    fn started(&self, _: u32) {}

    fn line(&self, text: &str) -> bool {
        (self.0)(text);
        false
    }

    fn published(&self) {}

    fn ended(&self) {}
}

/// Nobody looks.
impl Watch for () {
    fn started(&self, _: u32) {}

    fn line(&self, _: &str) -> bool {
        false
    }

    fn published(&self) {}

    fn ended(&self) {}
}
