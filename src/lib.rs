//! Keeps every port of a container image shut, unless a spec says that it may be open.
//!
//! A spec lists the ports that an image may expose. portlid starts the image, looks at it from four
//! sides (declared, published, listening, reachable), and says pass, fail or inconclusive. A pass
//! has to be earned: whatever could not be looked at is inconclusive, and that is no pass.
//!
//! # Ways to use it
//!
//! **As a gate**, on the command line, with a spec in a file (the language is in the README):
//!
//! ```yaml
//! # specs/web.yaml
//! image: nginx:1.29
//! expose:
//!   - 80/tcp
//! ```
//!
//! ```console
//! $ cargo install portlid
//! $ portlid test
//! ```
//!
//! **As a test of each spec**, under `cargo test` and `cargo nextest run` alike: a
//! [test without a harness](harness), which has one of its own.
//!
//! ```toml
//! # Cargo.toml
//! [dev-dependencies]
//! portlid = "0.1"
//!
//! [[test]]
//! name = "exposure"
//! harness = false
//! ```
//!
//! ```no_run
//! // tests/exposure.rs
//! fn main() -> std::process::ExitCode {
//!     portlid::harness::main()
//! }
//! ```
//!
//! **As an assertion** in any other test, asynchronous ([`Spec::test`]) or not, on a spec that is read
//! from a [file](Spec::from_file) or a [text](Spec::from_text), or is made in code:
//!
//! ```no_run
//! use portlid::{Spec, spec::Allow};
//!
//! portlid::scout!(); // once in a file of tests: lets anybody look who may use the engine
//!
//! #[test]
//! fn nginx_opens_nothing_else() -> Result<(), Box<dyn std::error::Error>> {
//!     let spec = Spec::image("nginx:1.29")
//!         .allow(80)
//!         .allow(Allow::port(9090).bind("loopback").why("metrics, for the sidecar"))
//!         .build()?;
//!     spec.test_blocking()?;
//!     Ok(())
//! }
//! ```
//!
//! What is wrong with it points at the call, and the error of a test that fails is the whole story, as
//! the command line tells it. All that can be said is in [`SpecBuilder`].
//!
//! **On a container that runs already**, started with testcontainers (feature `testcontainers`; with
//! `testcontainers-blocking` there is `check_blocking`, too):
//!
#![cfg_attr(feature = "testcontainers", doc = "```no_run")]
#![cfg_attr(not(feature = "testcontainers"), doc = "```ignore")]
//! use portlid::Spec;
//! use testcontainers::{GenericImage, runners::AsyncRunner};
//!
//! #[tokio::test]
//! async fn nginx_opens_nothing_else() -> Result<(), Box<dyn std::error::Error>> {
//!     let container = GenericImage::new("nginx", "1.29").start().await?;
//!     Spec::from_file("specs/nginx.yaml")?.check(&container).await?;
//!     Ok(())
//! }
//! ```
//!
//! # Who can look
//!
//! On the engine's own machine root looks from its own process. For everyone else a *scout* looks, a
//! helper container that is made of this very executable: the program `portlid`, a test with
//! [`harness::main`], or one that says [`scout!`]. Nothing is pulled for it. Where neither can see,
//! nothing passes.
//!
//! What is started is removed, whatever becomes of the test; if it is killed, a *reaper* does that,
//! under the same conditions.
//!
//! A scout's image is hashed. Where the processor has no instructions for SHA-256, that takes long
//! without optimization; then this helps:
//!
//! ```toml
//! # Cargo.toml
//! [profile.dev.package.sha2]
//! opt-level = 3
//! ```
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `testcontainers` | `Spec::check`, for a container that a test has started with testcontainers 0.28 |
//! | `testcontainers-blocking` | `Spec::check_blocking`, for its blocking ones |
//!
//! None is on by default. It runs on Linux, on Rust 1.95 or newer.
//!
//! # How it is made
//!
//! | stage | from | to | module |
//! |---|---|---|---|
//! | 1 | a file | [`Spec`] | [`spec`] |
//! | 2 | a spec | a running container, and its end | `engine` |
//! | 3 | a running container | what is seen of it | `look` |
//! | 4 | a spec and an [`Observation`] | findings | [`judgement`] |
//! | 5 | [records](record) | text | `report` |
//!
//! Imports run one way: no stage knows a later one, but that an engine names itself, and what it
//! could not remove, in the words of [`record`]. [`run`] alone knows all stages.
//!
//! What is documented here is the library. The rest of it, `engine`, `look` and `report` among it, is
//! the program's: public for its `main`, and no promise to anyone else.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod files;
#[doc(hidden)]
pub mod foreign;
pub mod progress;
#[doc(hidden)]
pub mod secrets;
pub mod socket;

pub mod rule;
pub mod spec;

pub mod observation;

#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod look;

pub mod judgement;
#[doc(hidden)]
pub mod notorious;

pub mod exit;
pub mod record;
#[doc(hidden)]
pub mod report;

#[doc(hidden)]
pub mod attestation;

mod check;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod command;
pub mod harness;
#[doc(hidden)]
pub mod output;
#[doc(hidden)]
pub mod panics;
#[doc(hidden)]
pub mod partition;
pub mod run;
#[cfg(feature = "testcontainers")]
pub mod testcontainers;

#[cfg(feature = "benches")]
#[doc(hidden)]
pub mod benching;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use check::NotPassed;
#[doc(inline)]
pub use foreign::Untrusted;
pub use judgement::judge;
pub use observation::Observation;
pub use socket::Port;
pub use spec::{Spec, SpecBuilder};
