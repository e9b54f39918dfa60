//! Nothing: only the tests of this crate matter.
