//! For the fuzzer: any bytes as a file with statements.

use std::time::Duration;

use super::{Demands, Outcome, Wanted, judge, read};

/// Whatever the bytes: an error, reasons, or a pass about the wanted image that is young enough.
pub fn statement(bytes: &[u8]) {
    let Ok(file) = read(bytes) else { return };
    let digest = format!("sha256:{}", "ab".repeat(32));
    let day = Duration::from_secs(24 * 60 * 60);
    let Ok(now) = jiff::Timestamp::from_second(1_790_000_000) else { return };
    let demands =
        Demands { now, max_age: day, allow_warnings: true, platforms: vec!["linux/amd64".into()] };
    for wanted in [
        Wanted::Stated { digest: digest.clone() },
        Wanted::Resolved { id: digest.clone(), digests: Vec::new(), platform: None },
    ] {
        match judge(&file, Some(&wanted), &demands) {
            Outcome::Refused(reasons) => assert!(!reasons.is_empty(), "refused without a reason"),
            Outcome::Verified(verified) => {
                assert!(!verified.is_empty(), "verified by nothing");
                for it in verified {
                    let is_named = it.digest == digest || matches!(wanted, Wanted::Resolved { .. });
                    assert!(is_named && !it.tests.is_empty() && it.age <= day, "{it:?}");
                }
            }
        }
    }
}
