//! A service that is asked by HTTP. It needs the feature `http-probe`.
// beside: integration-patterns
// without: named `http` found for struct

use coordination::patterns::service::Check;

fn main() {
    assert!(Check::http("http://localhost:8080/health").is_ok());
}
