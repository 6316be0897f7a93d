//! Which items of a flow go together: [`Window`].

use std::time::Duration;

use coord_bus::time::LONGEST_WAIT;

/// Which items go together.
///
/// The first window begins with the first item, and each later one a step after the one before. In
/// windows that *tumble* the step is as long as the window: each item is in one. Windows that
/// *slide* have a step of their own: with a shorter one an item is in several windows, with a longer
/// one in some of them or none. An item that comes in the moment in which one window of time ends and
/// the next begins is of the next, `[begin, end)`: as it is with the first window, which begins with
/// its item. (The windows of `coord-optimize` begin with no item and are `(begin, end]`, as RxJS's
/// are.) A window in which there is no item does not come out; one that is
/// not full when the flow ends does, with what it has.
///
/// ```
/// use std::time::Duration;
/// use coord_flow::Window;
///
/// let hundreds = Window::tumbling(100);
/// let of_the_last_hundred_every_ten = Window::sliding(100, 10);
/// let seconds = Window::tumbling_time(Duration::from_secs(1));
/// let of_the_last_minute = Window::sliding_time(Duration::from_secs(60), Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count { size: u64, step: u64 },
    Time { size: Duration, step: Duration },
}

/// The most windows that an item is in: of smaller steps the window is cut, so that it is not
/// looked at more often.
const OVERLAP_MAX: u32 = 1024;

/// What no window and no step is shorter than: what timers can tell apart.
const STEP_MIN: Duration = Duration::from_millis(1);

impl Window {
    /// Windows of this many items.
    ///
    /// # Panics
    ///
    /// If it is zero; in a constant, that does not compile.
    #[track_caller]
    pub const fn tumbling(items: u64) -> Self {
        Self::sliding(items, items)
    }

    /// Windows of `items` items, one each `step` items. A step of less than a 1024th of the
    /// window counts as that.
    ///
    /// # Panics
    ///
    /// If either is zero; in a constant, that does not compile.
    #[track_caller]
    pub const fn sliding(items: u64, step: u64) -> Self {
        assert!(
            items > 0 && step > 0,
            "a window cannot be of zero items, nor its step: give it one"
        );
        let least = items.div_ceil(OVERLAP_MAX as u64);
        let step = if step < least { least } else { step };
        Self {
            kind: Kind::Count { size: items, step },
        }
    }

    /// Windows of this time. Less than a millisecond counts as one.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn tumbling_time(size: Duration) -> Self {
        Self::sliding_time(size, size)
    }

    /// Windows of the time `size`, one each `step`. Less than a millisecond counts as one, and a
    /// step of less than a 1024th of the window as that, more than thirty years as thirty.
    ///
    /// # Panics
    ///
    /// If either is zero.
    #[track_caller]
    pub fn sliding_time(size: Duration, step: Duration) -> Self {
        assert!(
            !size.is_zero() && !step.is_zero(),
            "a window cannot last zero time, nor its step: give it some"
        );
        let size = size.clamp(STEP_MIN, LONGEST_WAIT);
        let step = step.clamp(STEP_MIN, LONGEST_WAIT).max(size / OVERLAP_MAX);
        Self {
            kind: Kind::Time { size, step },
        }
    }
}
