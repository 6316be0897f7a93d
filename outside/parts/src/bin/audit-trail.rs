//! How an audit trail is kept. It needs the feature `audit-trail`.
// beside: integration-patterns
// without: the item is gated behind the `audit-trail` feature

use coordination::patterns::audit::AuditConfig;

fn main() {
    assert_eq!(AuditConfig::default().stream, "audit");
}
