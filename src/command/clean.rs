//! `portlid clean`: removes what dead runs left, and says what.

use std::sync::Arc;

use super::left_behind;
use crate::{
    cli::Global,
    engine::{Engine, chain},
    exit::Exit,
    harness, output,
};

/// Removes what earlier runs left behind, and says what.
pub(super) fn clean(with_builds: bool, is_dry: bool, global: &Global) -> Exit {
    let Some(runtime) = harness::runtime() else {
        output::line("error: no thread can be started");
        return Exit::Internal;
    };
    let progress = output::progress();
    let asked = global.engine.as_deref();
    let swept = runtime.block_on(async {
        let engine = Engine::connect(asked, progress, Arc::default()).await?;
        let swept = engine.clean(with_builds, is_dry).await;
        engine.end(true);
        swept
    });
    let swept = match swept {
        Ok(swept) => swept,
        Err(error) => {
            output::line(&format!("error: {}", chain(&error)));
            if let Some(hint) = error.hint() {
                output::line(&format!("  help: {hint}"));
            }
            return Exit::Inconclusive;
        }
    };
    let done = if is_dry { "would remove" } else { "removed" };
    for what in &swept.removed {
        output::result(&format!("{done} {what}\n"));
    }
    if swept.removed.is_empty() && swept.left.is_empty() && !global.quiet {
        output::result("nothing to remove\n");
    }
    left_behind(&swept.left);
    if swept.left.is_empty() { Exit::Pass } else { Exit::LeftBehind }
}
