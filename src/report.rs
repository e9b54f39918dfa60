//! Stage 5 of 5: records -> text. Pure: no file is written and nothing is printed here.
//!
//! Each format is one function over the records alone.

pub mod json;
pub mod text;
