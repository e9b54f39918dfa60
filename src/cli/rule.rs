//! The argument of `portlid explain`: any text, for the answer to a wrong one is better than clap's;
//! but shells complete the ids that there are.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

use crate::rule::Rule;

/// Takes any text.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleId;

impl TypedValueParser for RuleId {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |rule: Rule| PossibleValue::new(rule.id()).help(rule.summary());
        Some(Box::new(Rule::ALL.into_iter().map(value)))
    }
}
