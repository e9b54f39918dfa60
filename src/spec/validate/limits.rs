//! Sizes, host names and the names of capabilities.

use crate::spec::{
    fault::{Fault, Faults},
    fields::{refuse, wrong_kind},
    raw::{Node, Value},
    validate::words,
};

/// Linux's capabilities without `CAP_`.
pub(in crate::spec) const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What a host name looks like.
pub(super) const HOST_NAME_HINT: &str =
    "a host name has letters, digits and `-`, parts joined by `.`, at most 63 characters";

/// Whether the text is a host name that the kernel and a resolver accept.
pub(super) fn is_host_name(text: &str) -> bool {
    text.len() <= 63
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// A size in bytes: `512m`, `1g`, `512MiB`, `1073741824`.
pub(super) fn memory(node: &Node, faults: &mut Faults) -> Option<u64> {
    const HINT: &str = "write `512m`, `1g`, or a number of bytes; the least is `6m`";
    let bytes = match &node.value {
        Value::Int(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => match parse_size(&text.text) {
            Some(bytes) => Some(bytes),
            None => {
                refuse(node, text, "a size", HINT, faults);
                return None;
            }
        },
        _ => {
            wrong_kind(node, "memory", "a size", HINT, faults);
            return None;
        }
    };
    // The engine's number is signed.
    let bytes = bytes.filter(|bytes| (words::LEAST_MEMORY..=i64::MAX as u64).contains(bytes));
    if bytes.is_none() {
        let fault =
            Fault::new(node.mark.clone(), "`memory` is too little or too much for an engine");
        faults.push(fault.hint(HINT));
    }
    bytes
}

/// A whole number and a unit; units are powers of 1024 however they are spelt, as with engines.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::{CAPABILITIES, is_host_name, parse_size};

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("1g", 1 << 30),
            ("1073741824", 1 << 30),
            ("7b", 7),
            ("64KB", 64 << 10),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "-1m", "1.5g", "1 g", "1x", "99999999999999999999", "99999999t"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn host_names() {
        for good in ["a", "web-1", "db.internal", "1a", "DB"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", ".a", "a_b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    #[test]
    fn capabilities_are_sorted_and_each_is_there_once() {
        assert!(CAPABILITIES.is_sorted_by(|a, b| a < b));
        assert_eq!(CAPABILITIES.len(), 41);
    }
}
