//! The arguments of the commands that look at images without a spec: `look`, `init`, `diff`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::{LookChoice, Pull, ScanChoice, duration};

/// `portlid look`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("subject").required(true)),
    after_help = "Examples:
  portlid look nginx:1.29
  portlid look postgres:17 -e POSTGRES_PASSWORD
  portlid look redis:7 -- --port 7000
  portlid look --container web-1
  portlid look nginx:1.29 --json

The container is started as `portlid test` starts it, looked at, and removed; one that already runs
is left as it is. The look begins once everything listens that the image declares, and nothing new
has opened for a second. Exit codes: 0 looked, 3 could not."
)]
pub struct Look {
    /// The image.
    #[arg(group = "subject", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Build the image from this folder's Dockerfile.
    #[arg(long, group = "subject", value_name = "FOLDER")]
    pub build: Option<String>,
    /// Load the image from an archive of `docker save`, or an OCI layout.
    #[arg(long, group = "subject", value_name = "FILE")]
    pub archive: Option<String>,
    /// Look at a container that already runs.
    #[arg(long, group = "subject", value_name = "NAME")]
    pub container: Option<String>,
    /// How it is started.
    #[command(flatten)]
    pub started: Started,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `portlid init`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("subject").required(true)),
    after_help = "Examples:
  portlid init nginx:1.29 > specs/nginx.yaml
  portlid init --build images/web --output specs/web.yaml
  POSTGRES_PASSWORD=x portlid init postgres:17 -e POSTGRES_PASSWORD

The spec is tried once before it is printed: `portlid test` passes with it. Each port gets a
`why: TODO`: say why it has to be open, or close it. Values of variables are not written down; a
spec takes them from the environment. Exit codes: 0 written, 1 what was seen cannot be allowed,
3 could not look."
)]
pub struct Init {
    /// The image.
    #[arg(group = "subject", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Build the image from this folder's Dockerfile.
    #[arg(long, group = "subject", requires = "output", value_name = "FOLDER")]
    pub build: Option<String>,
    /// Load the image from an archive of `docker save`, or an OCI layout.
    #[arg(long, group = "subject", requires = "output", value_name = "FILE")]
    pub archive: Option<String>,
    /// How it is started.
    #[command(flatten)]
    pub started: Started,
    /// Write the spec to this file, which must not be there yet, instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `portlid diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portlid diff web:1.4 web:candidate
  portlid diff nginx:1.28 nginx:1.29 --json

`+` is exposed now and was not, `-` was and is not any more, `~` is another process, user or
protocol on the same port. Exit codes: 0 the new image exposes no more than the old one, 1 it
does, 3 one of them could not be looked at.")]
pub struct Diff {
    /// The image to compare with.
    #[arg(value_name = "OLD")]
    pub old: String,
    /// The image that is asked about.
    #[arg(value_name = "NEW")]
    pub new: String,
    /// How both are started.
    #[command(flatten)]
    pub started: Started,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a container is started, and looked at, that no spec describes.
#[derive(Clone, Debug, Args)]
pub struct Started {
    /// A variable of its environment; without `=VALUE` it is taken from here. May be repeated.
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = variable)]
    pub env: Vec<(String, Option<String>)>,
    /// Its entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// The user that it runs as.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// A capability more than the engine gives; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub cap_add: Vec<String>,
    /// An empty folder in memory; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub tmpfs: Vec<String>,
    /// The platform of the image, such as linux/arm64.
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// How long to wait for what the image declares, and for it to settle.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub within: Duration,
    /// How long to watch after that.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub watch: Duration,
    /// Which ports a neighbour tries.
    #[arg(long, value_name = "PORTS", default_value = "full")]
    pub scan: ScanChoice,
    /// When to pull images.
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: Pull,
    /// Where to look: in this process (as root, beside the engine), or by a scout, a helper container.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub look: LookChoice,
    /// What it runs instead of the image's own command.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() || key.contains(['\0', '$', '{', '}']) {
        return Err("it is KEY=VALUE or KEY".to_owned());
    }
    Ok((key.to_owned(), value))
}
