//! Which topics are optimized into which, so that none comes to feed itself: [`Routes`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// From each topic, into which others: each as often as there is a task.
type Sinks = BTreeMap<Arc<str>, Vec<Arc<str>>>;

/// The routes of an optimizer. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<Sinks>>);

/// One of them, which is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Route {
    routes: Routes,
    from: Arc<str>,
    into: Arc<str>,
}

impl Routes {
    /// Adds one. If it would close a ring, the topics of that are the error: the first is also the last.
    pub(crate) fn add(&self, from: &str, into: &str) -> Result<Route, Vec<String>> {
        let (from, into) = (Arc::<str>::from(from), Arc::<str>::from(into));
        let mut routes = self.routes();
        if let Some(back) = way(&routes, &into, &from) {
            let ring = std::iter::once(from).chain(back);
            return Err(ring.map(|topic| topic.to_string()).collect());
        }
        let sinks = routes.entry(Arc::clone(&from)).or_default();
        sinks.push(Arc::clone(&into));
        drop(routes);
        let routes = self.clone();
        Ok(Route { routes, from, into })
    }

    fn routes(&self) -> MutexGuard<'_, Sinks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shortest way from one topic to another, with both; that of a topic to itself is the topic.
fn way(routes: &Sinks, from: &Arc<str>, to: &Arc<str>) -> Option<Vec<Arc<str>>> {
    // From where each topic was reached.
    let mut reached = BTreeMap::from([(from, None)]);
    let mut next = VecDeque::from([from]);
    while let Some(topic) = next.pop_front() {
        if topic == to {
            let back = |topic: &&Arc<str>| reached.get(*topic).copied().flatten();
            let back = std::iter::successors(Some(topic), back);
            let mut way: Vec<_> = back.cloned().collect();
            way.reverse();
            return Some(way);
        }
        for into in routes.get(topic).into_iter().flatten() {
            if !reached.contains_key(into) {
                reached.insert(into, Some(topic));
                next.push_back(into);
            }
        }
    }
    None
}

impl Drop for Route {
    fn drop(&mut self) {
        let mut routes = self.routes.routes();
        if let Some(sinks) = routes.get_mut(&self.from) {
            if let Some(place) = sinks.iter().position(|into| *into == self.into) {
                sinks.swap_remove(place);
            }
            if sinks.is_empty() {
                routes.remove(&self.from);
            }
        }
    }
}
