//! The handles through which one may publish or ask, counted by where they were opened.

use std::panic::Location;

use smallvec::SmallVec;

use crate::PublisherStats;

/// Where a handle was opened, if that is to be told.
pub(crate) type Place = Option<&'static Location<'static>>;

/// How many are open at each place.
#[derive(Default)]
pub(crate) struct Entrances(SmallVec<[(Place, usize); 2]>);

impl Entrances {
    /// One more.
    pub(crate) fn enter(&mut self, place: Place) {
        match self.0.iter_mut().find(|(at, _)| *at == place) {
            Some((_, open)) => *open += 1,
            None => self.0.push((place, 1)),
        }
    }

    /// One less. Whether it was the last.
    pub(crate) fn leave(&mut self, place: Place) -> bool {
        if let Some(index) = self.0.iter().position(|(at, _)| *at == place) {
            self.0[index].1 -= 1;
            if self.0[index].1 == 0 {
                self.0.swap_remove(index);
            }
        }
        self.0.is_empty()
    }

    /// What is told of them, into a list that is there.
    pub(crate) fn tell(&self, publishers: &mut Vec<PublisherStats>) {
        publishers.reserve_exact(self.0.len());
        let told = self.0.iter().filter_map(|(place, open)| {
            let (place, open) = ((*place)?, *open);
            Some(PublisherStats { place, open })
        });
        publishers.extend(told);
    }
}
