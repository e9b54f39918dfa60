//! The command line of `portlid verify`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::duration;

/// `portlid verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portlid verify portlid.intoto --image web:candidate
  portlid verify portlid.intoto --image ghcr.io/acme/web@sha256:DIGEST --max-age 72h
  cosign verify-attestation --key cosign.pub --type TYPE IMAGE@DIGEST |
    portlid verify - --image IMAGE@DIGEST
  gh attestation download oci://IMAGE@DIGEST --repo OWNER/REPO --predicate-type TYPE
  portlid verify sha256:DIGEST.jsonl --image IMAGE@DIGEST

TYPE is https://in-toto.io/attestation/test-result/v0.1.

The signature is NOT checked here: whoever can write the file can make it verify. That is what
`cosign verify-attestation` (as above) and `gh attestation verify` are for.

FILE is what `portlid test --report intoto=FILE` wrote, as it is, or signed: in a DSSE envelope or
a Sigstore bundle. Several may follow each other: then those of portlid about this image count,
and a newer one takes the place of an older one about the same specs.

Demanded are: a whole statement with nothing added; the result PASSED and the exit code 0; every
spec passed, without a warning; a run that finished within --max-age, and not in the future; and
that the image is a subject of it, and what its specs looked at.

Compared is, for NAME@DIGEST, that digest alone, whatever a registry or an engine may say of it.
For a tag or an id it is what the engine has by that name: its id, its digests from registries and
its platform; nothing is pulled. An image's id, the digest of its manifest and that of an index of
several platforms differ. A run looks at one platform: demand others with --platform.

Exit codes: 0 verified, 1 not, 2 the file or the command line is wrong, 3 the image could not be
found out.")]
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
