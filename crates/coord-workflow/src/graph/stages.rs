//! Which steps could begin at the same time, if all took as long.

use super::GraphStep;

/// The places of the steps in each stage, in their order.
pub(super) fn of(steps: &[GraphStep]) -> Vec<Vec<usize>> {
    let mut needed_by = vec![Vec::new(); steps.len()];
    let mut missing = vec![0; steps.len()];
    for (place, step) in steps.iter().enumerate() {
        let needs = step.needs.iter().chain(&step.needs_any);
        for &need in needs.filter(|need| **need < steps.len()) {
            needed_by[need].push(place);
            missing[place] += 1;
        }
    }
    let mut stages = Vec::new();
    let mut left = steps.len();
    let mut stage: Vec<usize> = (0..steps.len()).filter(|at| missing[*at] == 0).collect();
    while left > 0 {
        if stage.is_empty() {
            // Steps that wait for each other: all of them, as nothing else will ever be next.
            stage = (0..steps.len()).filter(|at| missing[*at] > 0).collect();
            stages.push(stage);
            return stages;
        }
        left -= stage.len();
        let mut next = Vec::new();
        for place in &stage {
            for &waiting in &needed_by[*place] {
                missing[waiting] -= 1;
                if missing[waiting] == 0 {
                    next.push(waiting);
                }
            }
        }
        next.sort_unstable();
        stages.push(std::mem::replace(&mut stage, next));
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(needs: &[&[usize]]) -> Vec<Vec<usize>> {
        let step = |needs: &&[usize]| GraphStep::new("s").needs(needs.iter().copied());
        of(&needs.iter().map(step).collect::<Vec<_>>())
    }

    #[test]
    fn a_step_is_in_the_first_stage_after_all_that_it_needs() {
        assert_eq!(stages(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(stages(&[&[], &[]]), [vec![0, 1]]);
        let chain_with_a_shortcut: [&[usize]; 4] = [&[1], &[], &[0, 1], &[1]];
        assert_eq!(
            stages(&chain_with_a_shortcut),
            [vec![1], vec![0, 3], vec![2]]
        );
    }

    #[test]
    fn what_cannot_be_a_workflow_is_shown_all_the_same() {
        let cycle_and_nothing: [&[usize]; 3] = [&[1], &[0], &[9]];
        assert_eq!(stages(&cycle_and_nothing), [vec![2], vec![0, 1]]);
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let chain: Vec<GraphStep> = (0..100_000_usize)
            .map(|place| GraphStep::new("s").needs(place.checked_sub(1)))
            .collect();
        assert_eq!(of(&chain).len(), 100_000);
    }
}
