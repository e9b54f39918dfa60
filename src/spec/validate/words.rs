//! The words and limits of the language that are lists: the parser reads by them, and the schema is
//! made of them.

use std::ops::RangeInclusive;

use crate::spec::model::{Egress, Publish, Scan};

/// The values of `scan`.
pub(in crate::spec) const SCANS: [(&str, Scan); 3] =
    [("full", Scan::Full), ("listed", Scan::Listed), ("off", Scan::Off)];

/// The values of `egress`.
pub(in crate::spec) const EGRESSES: [(&str, Egress); 2] =
    [("allow", Egress::Allow), ("deny", Egress::Deny)];

/// The values of `publish` in an entry.
pub(in crate::spec) const PUBLISHES: [(&str, Publish); 3] =
    [("allowed", Publish::Allowed), ("required", Publish::Required), ("never", Publish::Never)];

/// The words of `run.publish`, and whether each means none.
pub(in crate::spec) const PUBLISH_MODES: [(&str, bool); 2] = [("all", false), ("none", true)];

/// Another word for TLS in `speaks`.
pub(in crate::spec) const HTTPS: &str = "https";

/// Engines refuse less memory than this.
pub(in crate::spec) const LEAST_MEMORY: u64 = 6 * 1024 * 1024;

/// The kernel has no more process ids than this.
pub(in crate::spec) const PIDS: RangeInclusive<i128> = 1..=4_194_304;

/// What a process may end with.
pub(in crate::spec) const EXIT_CODES: RangeInclusive<i128> = 0..=255;

/// The statuses of HTTP.
pub(in crate::spec) const STATUSES: RangeInclusive<i128> = 100..=599;
