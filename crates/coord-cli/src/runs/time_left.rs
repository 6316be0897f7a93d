//! How much is left of the time that a run or a step has, as people say it.

use std::time::Duration;

use coordination::bus::time::{Clock, SystemClock};
use coordination::workflow::RunView;

use super::list::local;
use crate::spoken::Spoken;

/// How long it is until a run has gone on for so long; nothing, where that is over.
pub(super) fn left(view: &RunView, until: Option<Duration>) -> Option<Duration> {
    let left = (view.started_at + until?).duration_since(SystemClock.now());
    Some(Duration::try_from(left).unwrap_or_default())
}

/// What there is to say of a limit of this name, if there is one: until then after the run began.
pub(super) fn said(view: &RunView, limit: &str, until: Option<Duration>) -> Option<String> {
    let at = local(view.started_at + until?);
    Some(match left(view, until)? {
        Duration::ZERO => format!("its {limit} is over since {at}"),
        left => format!("{} left of its {limit}, until {at}", Spoken(left)),
    })
}
