//! EventStreamOptimizer: streams batched, throttled and conflated, with a count of what became of each event.
