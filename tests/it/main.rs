//! Integration tests: portlid as its users run it, against a real engine.
//!
//! Nothing here is skipped for want of an engine: without one these tests fail.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

/// Random sockets against what is said of them, and one image again and again.
mod accuracy;
/// The action and the workflows: their scripts, as GitHub's runner starts them.
mod action;
/// Specs, command lines and environments that are refused.
mod bad_input;
/// Ways of blinding it, none of which ends in a pass.
mod blind;
/// Runs that are killed at random moments.
mod chaos;
/// The command line: listing, filters, exit codes, reports.
mod cli;
/// Images of one static binary, and what the engine holds.
mod engine;
/// The package, as somebody else uses it.
mod external;
/// A fluent runner of the executable.
mod harness;
/// Images that mean harm.
mod hostile;
/// An engine that lies.
mod liar;
/// The library, on containers that testcontainers started.
mod library;
/// What is left behind, by whatever end.
mod lifecycle;
/// Looks without a spec: `look`, `init`, `diff`.
mod looking;
/// An engine that lies, stalls and breaks off.
mod lying;
/// What answers a neighbour, and what does not.
mod neighbour;
/// Completions and the manual.
mod packaging;
/// Images that come from a registry.
mod pulling;
/// `ready` in all its forms.
mod readiness;
/// README, held against the program.
mod readme;
/// A registry in this process, with faults.
mod registry;
/// An engine somewhere else.
mod remote;
/// Reports as files, and what GitHub is told.
mod reports;
/// The schema of specs.
mod schema;
/// The look from a helper container.
mod scout;
/// Values that must never be shown.
mod secrets;
/// Everything that listens.
mod sockets;
/// What is looked at: images, archives, builds, running containers.
mod subjects;
/// What somebody at a terminal sees.
mod terminal;
/// Rules about the code itself.
mod tidy;
/// Real sockets, and the verdicts on them.
mod verdicts;
/// Statements held against images.
mod verify;
