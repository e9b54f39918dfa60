//! Behind the feature `testcontainers`: a spec held against a container that a test has started.
//!
//! The container is looked at as it is, and left as it is.

use std::{fmt, sync::Arc};

use testcontainers::{ContainerAsync, Image};

use crate::{
    judgement::Verdict,
    record::Record,
    report::text,
    rule::{Level, Rule},
    run::{Options, Session},
    spec::{Run, Spec, Subject},
};

/// Why a container did not pass. Its `Display` is the whole story.
#[derive(Debug)]
pub struct NotPassed(Box<Record>);

impl NotPassed {
    /// What is known of the container.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }
}

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::story(&self.0))
    }
}

impl std::error::Error for NotPassed {}

impl Spec {
    /// Looks at `container` instead of what the spec names, and judges it.
    ///
    /// testcontainers itself publishes ports, and on every address of the host. That is the test's
    /// doing and not the image's, so the rules about publishing are notes here, unless the spec
    /// says otherwise under `rules`.
    ///
    /// # Errors
    ///
    /// If it did not pass: a rule is broken, or it could not be looked at.
    pub async fn check<I: Image>(
        &self,
        container: &ContainerAsync<I>,
    ) -> Result<Record, NotPassed> {
        let mut spec = self.clone();
        spec.subject = Subject::Container(container.id().to_owned());
        // How it was started is not the spec's affair any more.
        spec.run = Run::default();
        spec.needs.clear();
        spec.platform = None;
        for rule in [Rule::UnlistedPublish, Rule::PublishTooWide, Rule::DeadPublish] {
            spec.levels.entry(rule).or_insert(Level::Note);
        }
        let session = Session::new(Options::default(), Arc::new(|_, _| {}));
        let mut record = session.check(&spec).await;
        record.left_behind.extend(session.close().await);
        let is_clean = record.left_behind.is_empty();
        session.end(is_clean);
        if record.verdict == Verdict::Pass && is_clean {
            Ok(record)
        } else {
            Err(NotPassed(Box::new(record)))
        }
    }
}
