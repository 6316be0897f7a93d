//! A run that is the work of a step is paused, and goes on.

use super::{Course, Fact, Refused, completed, started, three};
use crate::Status;

#[test]
fn a_run_stands_still_while_the_one_within_it_does_and_its_time_counts_anew_then() {
    let plan = three().plan;
    let (step, at) = (1, 6);
    let child = |is_paused| Fact::Child {
        step,
        part: None,
        is_paused,
        at,
    };
    let mut course = Course::new(&plan);
    let apply = |course: &mut Course, fact: Fact| {
        assert_eq!(course.admits(&plan, &fact), Ok(()), "{fact:?}");
        course.apply(&plan, fact, |_| {});
    };
    apply(&mut course, started(0, 1));
    apply(&mut course, completed(0));
    let too_early = course.admits(&plan, &child(true));
    assert_eq!(too_early, Err(Refused::NotRunning { step }));
    apply(&mut course, started(step, 1));
    let as_it_was = Err(Refused::ChildAsItWas { step });
    assert_eq!(course.admits(&plan, &child(false)), as_it_was);
    apply(&mut course, child(true));
    assert!(course.stands_still() && !course.is_held());
    assert_eq!(course.admits(&plan, &child(true)), as_it_was);
    // Also before who takes it up has looked for it.
    apply(&mut course, Fact::Claimed);
    assert!(course.stands_still());
    let mut goes_on = course.clone();
    apply(&mut goes_on, child(false));
    assert_eq!(
        (goes_on.stands_still(), goes_on.timed_from),
        (false, Some(at))
    );
    let asked = true;
    apply(&mut course.clone(), Fact::Skipped { step, at, asked });
    let status = Status::Cancelled;
    let failed = None;
    apply(&mut course, Fact::Stopped { status, failed });
    assert_eq!((course.stands_still(), course.timed_from), (false, None));
}
