//! What the targets under `fuzz/` call: every parser of text that somebody else wrote.
//!
//! Compiled by cargo-fuzz alone. Each function takes any bytes, and panics only where a promise of
//! the parser is broken.

pub use crate::{
    attestation::fuzz::statement,
    engine::fuzz::{archive, build_context, docker_config},
    look::fuzz::{answer, diag, process_files, scout_line, table},
    spec::testing::fuzz as spec,
};
