//! Stage 5 of 5: records -> text. Pure: no file is written and nothing is printed here.
//!
//! Each format is one function over the records alone. What others wrote reaches a format with a
//! meaning for some characters only through [`escape`].

pub mod diff;
pub mod draft;
pub mod escape;
pub mod github;
pub mod html;
pub mod intoto;
pub mod json;
pub mod junit;
pub mod look;
pub mod markdown;
pub mod sarif;
pub mod text;

mod words;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
