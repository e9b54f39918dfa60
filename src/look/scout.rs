//! The look from elsewhere: the same code in a helper container, spoken to in lines of JSON.
//!
//! [`serve`] is the helper's whole life: it reads requests, looks, and answers, until its input
//! ends. [`Scout`] is the other end. Neither knows how the helper was started or what carries the
//! lines: that is the engine's affair.
//!
//! The helper is trusted as far as this executable is: it is made of it. What it says of foreign
//! names is as foreign as if it had been read here.

mod client;
mod server;
pub(super) mod wire;

pub use client::{FarWatch, Scout};
pub use server::serve;
