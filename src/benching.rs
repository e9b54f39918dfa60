//! What `benches/against` calls besides the library: one step of the look, by itself.
//!
//! Compiled with the feature `benches` alone. It measures nothing and decides nothing.

pub use crate::look::bench::Tables;
