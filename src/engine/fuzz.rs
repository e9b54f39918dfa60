//! The engine's parsers, for the fuzzer: archives, the Docker CLI's configuration, build contexts.

use std::{io::Cursor, path::Path};

use super::{archive, build, context, endpoint};

/// Any bytes as an image in a file.
pub fn archive(bytes: &[u8]) {
    archive::fuzz(Cursor::new(bytes.to_vec()));
}

/// The Docker CLI's `config.json`, or a context's `meta.json`.
pub fn docker_config(bytes: &[u8]) {
    let file = Path::new("config.json");
    let _ = endpoint::current_context(bytes, file);
    let _ = endpoint::host_of_context(bytes);
}

/// A Dockerfile and a `.dockerignore`.
pub fn build_context(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = build::registries(text, &[].into());
        let _ = context::leaves_out(text, Path::new("a/b/c.txt"));
    }
}
