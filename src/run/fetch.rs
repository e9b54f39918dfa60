//! Pulls before starts: images are fetched from the beginning of a run, whatever is being looked at.
//!
//! Only what specs name by reference; builds and archives wait for their turn.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};

use super::Session;
use crate::spec::{Platform, Spec, Subject};

/// As many at once as engines fetch layers by default.
const AT_ONCE: usize = 3;

impl Session {
    /// Fetches the images of these specs, in their order, until all are there or the run is
    /// interrupted. What cannot be fetched is told by the specs that need it.
    pub async fn fetch(&self, specs: &[Spec]) {
        let mut interrupted = self.interrupted.subscribe();
        let fetching = async {
            // If there is no engine, every spec says so.
            let Ok(engine) = self.engine().await else { return };
            let specs: Vec<Spec> = specs.iter().map(|spec| self.overridden(spec)).collect();
            stream::iter(images(&specs))
                .for_each_concurrent(AT_ONCE, |(spec, subject, platform)| {
                    engine.fetch(spec, subject, platform, self.options.pull)
                })
                .await;
        };
        tokio::select! {
            biased;
            _ = interrupted.wait_for(Option::is_some) => {}
            () = fetching => {}
        }
    }
}

/// Each image once, and the first spec that needs it.
fn images(specs: &[Spec]) -> Vec<(&str, &Subject, Option<&Platform>)> {
    let mut known = HashSet::new();
    let wanted = specs.iter().flat_map(|spec| {
        let companions = spec.needs.iter().map(|companion| (&companion.subject, None));
        let own = (&spec.subject, spec.platform.as_ref());
        std::iter::once(own)
            .chain(companions)
            .map(|(subject, platform)| (spec.name.as_str(), subject, platform))
    });
    wanted
        .filter(|(_, subject, platform)| {
            matches!(subject, Subject::Image(_))
                && known.insert(format!("{subject:?} {platform:?}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_fetched_once_in_the_order_of_the_specs() {
        let spec = |name: &str, text: &str| {
            let spec = Spec::from_text(text).unwrap();
            Spec { name: name.to_owned(), ..spec }
        };
        let specs = [
            spec("b", "image: web:1\nneeds: { db: { image: db:1 } }\nexpose: []\n"),
            spec("a", "image: db:1\nexpose: []\n"),
            spec("c", "image: web:1\nplatform: linux/arm64\nexpose: []\n"),
            spec("d", "container: web\nexpose: []\n"),
        ];
        let wanted: Vec<String> = images(&specs)
            .into_iter()
            .map(|(spec, subject, platform)| {
                let platform = platform.map(|it| format!(" {it}")).unwrap_or_default();
                format!("{spec}: {}{platform}", subject.shown())
            })
            .collect();
        assert_eq!(wanted, ["b: web:1", "b: db:1", "c: web:1 linux/arm64"]);
    }
}
