//! What stopped a look, in words, and what it means for the rest of the run.

use std::any::Any;

use super::Stop;
use crate::{engine::chain, look::LookError, record::Reason};

/// Whether the engine let a deadline pass.
pub(super) fn is_deadline(stop: &Stop) -> bool {
    match stop {
        Stop::Engine(error) => error.is_deadline(),
        Stop::Shared(stop) => is_deadline(stop),
        Stop::Look(_) => false,
    }
}

/// Whether somebody beside the container might see what could not be seen from here. What was seen
/// of a companion is told as a cause of the engine's error.
pub(super) fn cannot_see(stop: &Stop) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match stop {
        Stop::Look(error) => Some(error),
        Stop::Engine(error) => Some(error),
        Stop::Shared(_) => None,
    };
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<LookError>() {
            return match error {
                LookError::Unreadable { cause, .. } => cause.is_denied(),
                error => matches!(
                    error,
                    LookError::NoProcess { .. }
                        | LookError::Stranger { .. }
                        | LookError::Unverified { .. }
                        | LookError::Void { .. }
                        | LookError::NotNeighbour { .. }
                ),
            };
        }
        cause = error.source();
    }
    false
}

/// Why a stop makes a spec inconclusive.
pub(super) fn reason(stop: &Stop) -> Reason {
    match stop {
        Stop::Engine(error) => Reason { message: chain(error), hint: error.hint() },
        Stop::Look(error) => {
            Reason { message: chain(error), hint: error.hint().map(str::to_owned) }
        }
        Stop::Shared(stop) => reason(stop),
    }
}

/// That portlid itself is broken.
pub(super) fn internal(panic: &(dyn Any + Send)) -> Reason {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Reason {
        message: format!("internal error: {}", crate::foreign::shown(said, 300)),
        hint: Some("this is a defect of portlid: please report it".to_owned()),
    }
}
