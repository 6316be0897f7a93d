//! How an audit trail is kept. It needs the feature `audit-trail`.
// without: the item is gated behind the `integration-patterns` feature

use coordination::patterns::audit::AuditConfig;

fn main() {
    assert_eq!(AuditConfig::default().stream, "audit");
}
