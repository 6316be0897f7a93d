//! ErrorRecoveryManager: supervisors that restart what fails, and patterns that recognise errors.
