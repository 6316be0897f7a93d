//! PerformanceMonitor: throughput, durations, memory and processor time of a bus and what runs on it.
