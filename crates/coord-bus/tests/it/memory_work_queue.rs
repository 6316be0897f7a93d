//! The work queue in memory.

mod conformance {
    use std::sync::Arc;

    use coord_bus::MemoryWorkQueue;
    use coord_bus::conformance::work_queue::LIMITS;
    use coord_bus::time::SystemClock;

    coord_bus::conformance_work_queue!(MemoryWorkQueue::with(Arc::new(SystemClock), LIMITS));
}
