//! The command line of `portlid verify`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::duration;

/// `portlid verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portlid verify portlid.intoto --image web:candidate
  portlid verify portlid.intoto --image ghcr.io/acme/web@sha256:0123...
  gh attestation download oci://IMAGE@DIGEST --repo OWNER/REPO \\
    --predicate-type https://in-toto.io/attestation/test-result/v0.1
  portlid verify sha256:0123....jsonl --image IMAGE@DIGEST --max-age 72h
  cosign verify-attestation IMAGE@DIGEST --key cosign.pub \\
    --type https://in-toto.io/attestation/test-result/v0.1 |
    portlid verify - --image IMAGE@DIGEST

The SIGNATURE IS NOT CHECKED here: whoever can write the file can make it verify. Pipe it through
`cosign verify-attestation` or check it with `gh attestation verify`, as above; both stop at a wrong one.

What it takes: FILE is a statement that `portlid test --report intoto=FILE` wrote, alone, in a DSSE
envelope (cosign) or a Sigstore bundle (gh), or several of these behind each other. Of several, those
of portlid about this image count; a newer one takes the place of an older one about the same specs.

What it demands: the statement is whole, with nothing added; the result is PASSED, the exit code 0;
every spec passed, without a warning; the run finished within --max-age, and not in the future; the
image is a subject of the statement, and the one that its specs looked at.

What is compared: for NAME@DIGEST, that digest, and nothing is asked of a registry or an engine. For a
tag or an id, what the engine has by it (nothing is pulled): its id, its digests from registries, its
platform. An image's id, its manifest's digest and the digest of an index of several platforms differ.
A run looks at one platform: if DIGEST is that of an index, demand each with --platform.

Exit codes: 0 verified, 1 not, 2 the file or the command line is wrong, 3 the image could not be
resolved.")]
pub struct Verify {
    /// The file; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The image that is to be released: NAME@DIGEST, or a tag or an id that the engine has.
    #[arg(long, value_name = "REF")]
    pub image: String,
    /// How long ago the run may have finished: 30m, 24h, 168h.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub max_age: Duration,
    /// Take a pass with warnings (the result WARNED) for a pass.
    #[arg(long)]
    pub allow_warnings: bool,
    /// Demand that the image was looked at for this platform; may be repeated.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    pub platform: Vec<String>,
}

fn platform(text: &str) -> Result<String, String> {
    if crate::attestation::is_platform(text) {
        Ok(text.to_owned())
    } else {
        Err("it is OS/ARCHITECTURE, such as `linux/arm64`".to_owned())
    }
}
