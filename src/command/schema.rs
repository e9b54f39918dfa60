//! `portlid schema`: the JSON Schema of the spec language. Needs neither specs nor an engine.

use crate::{
    exit::Exit,
    output,
    spec::{self, SchemaOf},
};

/// Prints the schema of specs, or of a folder's defaults.
pub(super) fn schema(of_defaults: bool) -> Exit {
    let of = if of_defaults { SchemaOf::Defaults } else { SchemaOf::Spec };
    output::result(&spec::schema(of));
    Exit::Pass
}
