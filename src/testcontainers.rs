//! Behind the feature `testcontainers`: a spec held against a container that a test has started.
//!
//! The container is looked at as it is, and left as it is. It must be one of the engine that portlid
//! finds: with both left alone, or `DOCKER_HOST` set, that is testcontainers' too.
//!
//! # What testcontainers does to a container
//!
//! It publishes every port that the image declares or the test asks for, on every address of the
//! host. That is the test's doing and not the image's. So the four rules about publishing
//! (`unlisted-publish`, `publish-too-wide`, `dead-publish`, `missing-publish`) are notes here, which
//! break nothing, and are still told. A spec that means them says so under `rules`, and what is
//! expected under `publish`:
//!
//! ```
//! use portlid::{Spec, rule::{Level, Rule}};
//!
//! let spec = Spec::image("nginx:1.29")
//!     .allow(80)
//!     .publish("0.0.0.0::80/tcp")
//!     .rule(Rule::PublishTooWide, Level::Fail)
//!     .build()?;
//! # Ok::<(), portlid::spec::InvalidSpec>(())
//! ```
//!
//! Nothing else that portlid looks at is of its making. What the *image* declares is still the
//! image's: a port that only the test exposes is not held against it.

use testcontainers::{ContainerAsync, Image};

use crate::{
    check::{self, NotPassed},
    record::Record,
    rule::{Level, Rule},
    spec::{Run, Spec, Subject},
};

/// The rules about what testcontainers does.
const NOT_THE_IMAGES: [Rule; 4] =
    [Rule::UnlistedPublish, Rule::PublishTooWide, Rule::DeadPublish, Rule::MissingPublish];

impl Spec {
    /// Looks at `container` instead of what the spec names, and judges it.
    ///
    /// What the spec says of how it is started is passed over, since it runs already. The rules
    /// about publishing are notes, unless the spec itself states their level: see
    /// [`testcontainers`](crate::testcontainers). Any runtime will do.
    ///
    /// # Errors
    ///
    /// If it did not pass: a rule is broken, or it could not be looked at.
    ///
    /// ```no_run
    /// use portlid::Spec;
    /// use testcontainers::{GenericImage, runners::AsyncRunner};
    ///
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let container = GenericImage::new("nginx", "1.29").start().await?;
    /// Spec::image("nginx:1.29").allow(80).build()?.check(&container).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check<I: Image>(
        &self,
        container: &ContainerAsync<I>,
    ) -> Result<Record, NotPassed> {
        let record = check::check(self.of_container(container.id())).await;
        check::judged(self.explained(record))
    }

    /// [`check`](Self::check) for tests that are not asynchronous.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```no_run
    /// use portlid::Spec;
    /// use testcontainers::{GenericImage, runners::SyncRunner};
    ///
    /// # fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let container = GenericImage::new("nginx", "1.29").start()?;
    /// Spec::from_file("specs/nginx.yaml")?.check_blocking(&container)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "testcontainers-blocking")]
    pub fn check_blocking<I: Image>(
        &self,
        container: &testcontainers::Container<I>,
    ) -> Result<Record, NotPassed> {
        let record = check::check_blocking(self.of_container(container.id()));
        check::judged(self.explained(record))
    }

    /// The same allowance for a container that somebody else started.
    fn of_container(&self, id: &str) -> Self {
        let mut spec = self.clone();
        spec.subject = Subject::Container(id.to_owned());
        // How it was started is not the spec's affair any more; what is to be published still is.
        spec.run = Run { publish: spec.run.publish, ..Run::default() };
        spec.needs.clear();
        spec.platform = None;
        for rule in NOT_THE_IMAGES {
            spec.levels.entry(rule).or_insert(Level::Note);
        }
        spec
    }

    /// The record, in which nobody is told to mend what testcontainers did.
    fn explained(&self, mut record: Record) -> Record {
        for located in &mut record.findings {
            let rule = located.finding.rule;
            if NOT_THE_IMAGES.contains(&rule) && !self.levels.contains_key(&rule) {
                located.finding.help = format!(
                    "what is published is testcontainers' doing; if it matters here, say so with a \
                     level of `{rule}` under `rules`"
                );
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, NOT_THE_IMAGES, Rule, Spec, Subject};
    use crate::spec::{Need, PublishMode};

    #[test]
    fn only_what_the_spec_says_of_the_container_itself_stays() {
        let spec = Spec::image("web:1")
            .platform("linux/arm64")
            .env("KEY", "value")
            .need("db", Need::image("db:1"))
            .publish("0.0.0.0::80/tcp")
            .rule(Rule::DeadPublish, Level::Fail)
            .rule(Rule::SilentExpose, Level::Off)
            .allow(80)
            .build()
            .unwrap()
            .of_container("0123");
        assert_eq!(spec.subject, Subject::Container("0123".to_owned()));
        assert!(spec.platform.is_none() && spec.needs.is_empty() && spec.run.env.is_empty());
        assert!(matches!(&spec.run.publish, PublishMode::List(list) if list.len() == 1));
        for rule in NOT_THE_IMAGES {
            let stated = rule == Rule::DeadPublish;
            assert_eq!(spec.level(rule), if stated { Level::Fail } else { Level::Note }, "{rule}");
        }
        assert_eq!(spec.level(Rule::SilentExpose), Level::Off);
        assert_eq!(spec.level(Rule::UnlistedListener), Level::Fail);
    }
}
