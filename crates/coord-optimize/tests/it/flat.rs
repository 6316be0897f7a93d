//! Groups as one stream, so that they can be looked at like any other.

use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use coord_optimize::{Group, Groups};
use tokio_stream::Stream;

/// What comes of all groups, in its order: each item with the number of its group, and the end of each.
pub(crate) struct Flat<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> {
    groups: Groups<S, K, F>,
    open: Vec<(usize, Group<S, K, F>)>,
    count: usize,
}

pub(crate) fn flat<S, K, F>(groups: Groups<S, K, F>) -> Flat<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone,
    F: FnMut(&S::Item) -> K,
{
    Flat {
        groups,
        open: Vec::new(),
        count: 0,
    }
}

impl<S, K, F> Stream for Flat<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone + Unpin,
    F: FnMut(&S::Item) -> K,
{
    type Item = (usize, Option<S::Item>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let all = loop {
            match Pin::new(&mut self.groups).poll_next(cx) {
                Poll::Ready(Some(group)) => {
                    self.count += 1;
                    let number = self.count;
                    self.open.push((number, group));
                }
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        for place in 0..self.open.len() {
            let (number, group) = &mut self.open[place];
            let number = *number;
            match Pin::new(group).poll_next(cx) {
                Poll::Ready(Some(item)) => return Poll::Ready(Some((number, Some(item)))),
                Poll::Ready(None) => {
                    drop(self.open.remove(place));
                    return Poll::Ready(Some((number, None)));
                }
                Poll::Pending => {}
            }
        }
        match all && self.open.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}
