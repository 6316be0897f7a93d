//! The events that all contenders carry.

use std::sync::Arc;

/// An event that can be made up by number, and read.
pub(crate) trait Sample: Clone + Send + Sync + 'static {
    /// The event of this number, with a text that all share.
    fn new(id: u64, text: &Arc<str>) -> Self;

    /// What every subscriber does with it: enough that it is read, and no more.
    fn read(&self) -> u64;
}

/// 32 bytes and 8 for each of the `REST`, with a part that has to be counted when it is cloned.
#[derive(Clone)]
pub(crate) struct Update<const REST: usize> {
    id: u64,
    value: u64,
    text: Arc<str>,
    rest: [u64; REST],
}

/// An event of 32 bytes.
pub(crate) type Small = Update<0>;

impl<const REST: usize> Sample for Update<REST> {
    #[inline]
    fn new(id: u64, text: &Arc<str>) -> Self {
        Self {
            id,
            value: id ^ 0x5555,
            text: Arc::clone(text),
            rest: [id; REST],
        }
    }

    #[inline]
    fn read(&self) -> u64 {
        let last = self.rest.last().unwrap_or(&0);
        self.id + self.value + self.text.len() as u64 + last
    }
}

/// The text of all events.
pub(crate) fn text() -> Arc<str> {
    "some text that several events share".into()
}
