//! The command line's types. They say what is typed, and nothing of what it does.

mod looking;
mod rule;
mod verify;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use looking::{Diff, Init, Look, Started};
pub use verify::Verify;

use crate::{engine::PullPolicy, foreign::shown, partition::Partition, run::LookFrom, spec::Scan};

/// Keeps every port of a container image shut, unless a spec file says that it may be open.
#[derive(Debug, Parser)]
#[command(name = "portlid", version, about, max_term_width = 100)]
#[command(after_help = "Examples:
  portlid test                         gate every spec under specs/
  portlid test specs/web.yaml -v       one spec, with the evidence
  portlid test --report json=out.json  and a report
  portlid look nginx:1.29              what is open in an image
  portlid init nginx:1.29              a first spec for it
  portlid diff web:1 web:2             what the new one exposes more
  portlid lint                         check the specs without an engine
  portlid explain unlisted-listener    what a rule means

Exit codes: 0 all passed, 1 a rule was broken, 2 a spec or the command line is wrong, 3 could not
look, 4 nothing was checked, 5 passed but something was left behind, 70 internal error, 128+n ended
by signal n.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The container engine: unix://PATH, tcp://HOST:PORT or ssh://USER@HOST.
    ///
    /// Without it: DOCKER_HOST, else the Docker CLI's context, else the well-known sockets.
    #[arg(long, global = true, value_name = "URL")]
    pub engine: Option<String>,
    /// When to colour the output.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Say more: the evidence of each verdict, and notes.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say less: no progress.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// What portlid can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the image of each spec, look at it from four sides, and say pass, fail or inconclusive.
    #[command(after_help = "Examples:
  portlid test
  portlid test specs/web.yaml --image web=web:candidate
  portlid test specs/ --report json=portlid.json -- --skip slow
  portlid test --report sarif=portlid.sarif --report html=portlid.html
  portlid test --partition hash:2/4    the second of four machines
  portlid test -- --list

What follows `--` goes to the test runner: a name to filter by, --exact, --skip NAME,
--test-threads N, --format pretty|terse|json.

In GitHub Actions findings become annotations on the spec's lines, and the job's summary is written.")]
    Test(Test),
    /// Look at one image, whatever its ports: who listens, who can reach it, what it speaks.
    Look(Look),
    /// Look at an image, and write a spec that allows just what was seen.
    Init(Init),
    /// Look at two images, and say what the new one exposes more or less.
    Diff(Diff),
    /// Check specs without an engine.
    #[command(after_help = "Examples:
  portlid lint
  portlid lint specs/web.yaml services/*/specs

Every problem of every file is told at once, with its line and what to do. Exit codes: 0 no
problems, 2 problems, 4 there is no spec.")]
    Lint {
        /// Spec files, or folders of them.
        #[arg(value_name = "PATH", default_value = "specs")]
        paths: Vec<PathBuf>,
    },
    /// Remove what earlier runs left behind.
    #[command(after_help = "Examples:
  portlid clean --dry-run
  portlid clean --images

Every run removes what it made, and at its start what dead runs left. This does the
same at once. What a live run owns is never touched, nor anything that portlid did not make.")]
    Clean {
        /// Also remove the images that were built from specs and are kept for the next run.
        #[arg(long)]
        images: bool,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the JSON Schema of specs, for editors that complete, explain and check them.
    #[command(after_help = "Examples:
  portlid schema > portlid.schema.json
  portlid schema --defaults > portlid-defaults.schema.json

Any editor with the YAML language server finds it by the first line of a spec, as a URL or a path
relative to that spec:
  # yaml-language-server: $schema=../portlid.schema.json

VS Code (extension YAML by Red Hat) finds it by its settings, too; the second pattern leaves the
defaults to a schema of their own:
  \"yaml.schemas\": {
    \"./portlid.schema.json\": [\"specs/**/*.yaml\", \"!_defaults.yaml\"],
    \"./portlid-defaults.schema.json\": \"_defaults.yaml\"
  }

It takes every spec that is right, and some that are not: two entries for one port, or a service
that nobody knows, only `portlid lint` sees. Print it anew with each version of portlid.")]
    Schema {
        /// The schema of _defaults.yaml instead.
        #[arg(long)]
        defaults: bool,
    },
    /// Hold what `--report intoto` wrote against the image that is to be released.
    Verify(Verify),
    /// Say what a rule means, why it matters, and how to mend what breaks it.
    #[command(after_help = "Examples:
  portlid explain
  portlid explain unlisted-listener")]
    Explain {
        /// The rule's id; without it, all rules in a list.
        #[arg(value_name = "RULE", value_parser = rule::RuleId, hide_possible_values = true)]
        rule: Option<String>,
    },
    /// Print what a shell needs to complete the command line.
    #[command(after_help = "Examples:
  portlid completions bash > ~/.local/share/bash-completion/completions/portlid
  portlid completions zsh > ~/.zfunc/_portlid        (a folder of $fpath, before compinit)
  portlid completions fish > ~/.config/fish/completions/portlid.fish
  portlid completions powershell >> $PROFILE
  portlid completions elvish >> ~/.config/elvish/rc.elv

Packages put them where the shells look by themselves: bash-completion/completions/portlid,
zsh/site-functions/_portlid and fish/vendor_completions.d/portlid.fish, each below /usr/share.")]
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual.
    #[command(after_help = "Examples:
  portlid man | man -l -
  portlid man --dir \"$DESTDIR/usr/share/man/man1\"

Without --dir it is the whole manual, for reading: portlid(1), and behind it the pages of the
commands. With it, for packages, each page is a file of its own, portlid.1, portlid-test.1 and so
on; their names are printed, and the folder is made if it is not there.")]
    Man {
        /// Write each page into a file of this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `portlid test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Spec files, or folders of them.
    #[arg(value_name = "PATH", default_value = "specs")]
    pub paths: Vec<PathBuf>,
    /// Write a report; may be repeated. Formats: json, junit, sarif, html, markdown, intoto.
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report)]
    pub report: Vec<ReportFile>,
    /// When to pull images.
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: Pull,
    /// How long to watch, in place of every spec's own `watch`: 500ms, 2s, 1m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub watch: Option<Duration>,
    /// What to scan, in place of every spec's own `scan`.
    #[arg(long, value_name = "PORTS")]
    pub scan: Option<ScanChoice>,
    /// Look at another image for the spec of that name; may be repeated.
    #[arg(long, value_name = "NAME=REF", value_parser = replacement)]
    pub image: Vec<(String, String)>,
    /// Where to look: in this process (as root, beside the engine), or by a scout, a helper container.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub look: LookChoice,
    /// How many specs to run at once; by default three times the number of cores, at least 4, at most 8.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Check one part of the specs: hash:K/N or slice:K/N, as nextest splits tests, or timings:K/N.
    #[arg(long, value_name = "PART", value_parser = partition)]
    pub partition: Option<Partition>,
    /// A JSON report of an earlier run, for timings:K/N. Repeatable; all parts must be given the same.
    #[arg(long, value_name = "FILE", requires = "partition")]
    pub timings: Vec<PathBuf>,
    /// List the specs and start nothing.
    #[arg(long)]
    pub list: bool,
    /// Arguments of the test runner.
    #[arg(last = true, value_name = "LIBTEST ARGS")]
    pub libtest: Vec<String>,
}

/// A format and where it is written to.
#[derive(Clone, Debug)]
pub struct ReportFile {
    /// The format.
    pub format: ReportFormat,
    /// The file.
    pub path: PathBuf,
}

/// The formats of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Everything that is known, for programs.
    Json,
    /// JUnit's XML: a suite per spec.
    Junit,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// One page for a browser.
    Html,
    /// For a comment on a pull request.
    Markdown,
    /// An in-toto Statement with the test result, to be signed.
    Intoto,
}

/// Where the look is done.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LookChoice {
    /// In this process where it can see for itself, else by a scout.
    Auto,
    /// In this process.
    Here,
    /// By a scout.
    Scout,
}

impl From<LookChoice> for LookFrom {
    fn from(choice: LookChoice) -> Self {
        match choice {
            LookChoice::Auto => Self::Auto,
            LookChoice::Here => Self::Here,
            LookChoice::Scout => Self::Scout,
        }
    }
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Pull {
    /// If the engine does not have them.
    Missing,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

impl From<Pull> for PullPolicy {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Missing,
            Pull::Always => Self::Always,
            Pull::Never => Self::Never,
        }
    }
}

/// Which TCP ports are scanned.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScanChoice {
    /// All 65,535.
    Full,
    /// Those that are listed, declared or listening.
    Listed,
    /// None.
    Off,
}

impl From<ScanChoice> for Scan {
    fn from(choice: ScanChoice) -> Self {
        match choice {
            ScanChoice::Full => Self::Full,
            ScanChoice::Listed => Self::Listed,
            ScanChoice::Off => Self::Off,
        }
    }
}

fn report(text: &str) -> Result<ReportFile, String> {
    let (format, path) = text
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or("it is FORMAT=FILE, such as `json=portlid.json`")?;
    let format = ReportFormat::from_str(format, false).map_err(|_| {
        let formats =
            ReportFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let formats: Vec<String> = formats.map(|it| it.get_name().to_owned()).collect();
        format!("`{}` is no format; there are: {}", shown(format, 60), formats.join(", "))
    })?;
    Ok(ReportFile { format, path: PathBuf::from(path) })
}

fn replacement(text: &str) -> Result<(String, String), String> {
    let (name, reference) = text
        .split_once('=')
        .filter(|(name, reference)| !name.is_empty() && !reference.is_empty())
        .ok_or("it is NAME=REF, such as `web=web:candidate`")?;
    Ok((name.to_owned(), reference.to_owned()))
}

fn partition(text: &str) -> Result<Partition, String> {
    text.parse().map_err(str::to_owned)
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::spec::duration(text).ok_or_else(|| "it is a time such as 500ms, 2s or 1m".to_owned())
}
