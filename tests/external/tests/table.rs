//! Specs that are made in code, a test each.

use std::time::Duration;

use portlid::{Spec, spec::InvalidSpec};

fn main() -> std::process::ExitCode {
    portlid::harness::main_with(|| {
        [("http", 80), ("https", 443)].into_iter().map(|(name, port)| spec(name, port)).collect()
    })
}

/// The image listens on 80/tcp, whatever is allowed.
fn spec(name: &str, port: u16) -> Result<Spec, InvalidSpec> {
    let image = std::env::var("PORTLID_FIXTURE").unwrap_or_default();
    Spec::image(image)
        .name(name)
        .command(["tcp:0.0.0.0:80"])
        .allow(port)
        .ready_within(Duration::from_secs(5))
        .watch(Duration::from_millis(300))
        .build()
}
