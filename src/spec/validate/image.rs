//! The grammar of image references: `[REGISTRY[:PORT]/]NAME[:TAG][@DIGEST]`.

/// Why a text is no image reference, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReferenceError {
    /// Lowercase, to be read after "is not an image reference: ".
    pub reason: &'static str,
    /// What to try.
    pub hint: &'static str,
}

/// Checks an image reference by the grammar that engines use, so that a slip is found before one is
/// asked.
///
/// # Errors
///
/// If `text` is not of the form `[REGISTRY[:PORT]/]NAME[:TAG][@DIGEST]`, nor an image id.
pub fn check_reference(text: &str) -> Result<(), ReferenceError> {
    let wrong = |reason, hint| Err(ReferenceError { reason, hint });
    if text.starts_with('-') {
        return wrong("it looks like an option", "remove the leading `-`");
    }
    if text.contains(char::is_whitespace) {
        return wrong("it holds a blank", "remove the blank");
    }
    if text.contains("://") {
        return wrong("it looks like a URL", "remove the scheme: `ghcr.io/acme/web:1`");
    }
    if text.len() > 4096 {
        return wrong("it is too long", "a name has at most 255 characters");
    }
    if let Some(id) = text.strip_prefix("sha256:") {
        let is_id = id.len() == 64 && is_hex(id);
        return if is_id {
            Ok(())
        } else {
            wrong("an image id has 64 hex digits", "write it whole")
        };
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return wrong("the digest is malformed", "write it as `sha256:` and 64 hex digits");
    }
    // A colon behind the last slash begins a tag; one before it, a registry's port.
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
        None => (name, None),
    };
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        let hint = "a tag has letters, digits, `_`, `.` and `-`, at most 128, and is not empty";
        return wrong("the tag is malformed", hint);
    }
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        _ => (None, name),
    };
    if registry.is_some_and(|registry| !is_registry(registry)) {
        return wrong("the registry is malformed", "write it as `HOST` or `HOST:PORT`");
    }
    if path.is_empty() || path.split('/').any(str::is_empty) {
        return wrong("a part of the name is empty", "write it as `NAME`, or `FOLDER/NAME`");
    }
    if path.contains(|it: char| it.is_ascii_uppercase()) {
        return wrong("the name holds an uppercase letter", "write the name in lowercase");
    }
    if name.len() > 255 || !path.split('/').all(is_component) {
        let hint = "a name has lowercase letters and digits, joined by `.`, `_`, `__` or `-`";
        return wrong("the name is malformed", hint);
    }
    Ok(())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_digest(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sha256", hex)) => hex.len() == 64 && is_hex(hex),
        Some(("sha512", hex)) => hex.len() == 128 && is_hex(hex),
        _ => false,
    }
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of an IPv6 address is within its brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    is_host && is_port
}

/// Runs of lowercase letters and digits, joined by `.`, `_`, `__`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_plain = |byte: Option<&u8>| byte.is_some_and(|byte| is_plain(*byte));
    ends_plain(bytes.first())
        && ends_plain(bytes.last())
        && text.split(|it: char| it.is_ascii_lowercase() || it.is_ascii_digit()).all(|joint| {
            matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|it| it == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::check_reference;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references() {
        for good in [
            "nginx",
            "nginx:1.29",
            "library/nginx:1.29-alpine",
            "ghcr.io/acme/web_app/x:V1.0_a",
            "localhost/web",
            "localhost:5000/web:latest",
            "127.0.0.1:5000/web",
            "[::1]:5000/web",
            "Registry.Example.com/web",
            "a/b/c/d",
            "a__b--c.d",
        ] {
            assert_eq!(check_reference(good), Ok(()), "{good}");
            let pinned = format!("{good}@sha256:{HEX}");
            assert_eq!(check_reference(&pinned), Ok(()), "{pinned}");
        }
        assert_eq!(check_reference(&format!("sha256:{HEX}")), Ok(()));
    }

    #[test]
    fn what_is_no_reference() {
        for (bad, reason) in [
            ("--privileged", "it looks like an option"),
            ("nginx 1", "it holds a blank"),
            ("https://ghcr.io/x", "it looks like a URL"),
            ("Nginx", "the name holds an uppercase letter"),
            ("ghcr.io/Acme/web", "the name holds an uppercase letter"),
            ("nginx:", "the tag is malformed"),
            ("nginx:.x", "the tag is malformed"),
            ("nginx:a:b", "the tag is malformed"),
            ("nginx@sha256:abc", "the digest is malformed"),
            ("nginx@", "the digest is malformed"),
            ("sha256:abc", "an image id has 64 hex digits"),
            ("/nginx", "a part of the name is empty"),
            ("ghcr.io/", "a part of the name is empty"),
            ("a//b", "a part of the name is empty"),
            (":tag", "a part of the name is empty"),
            ("a..b", "the name is malformed"),
            ("a_", "the name is malformed"),
            ("a___b", "the name is malformed"),
            ("näme", "the name is malformed"),
            ("host:99999/web", "the registry is malformed"),
            ("-host.io/web", "it looks like an option"),
            ("host..io/web", "the registry is malformed"),
        ] {
            assert_eq!(check_reference(bad).unwrap_err().reason, reason, "{bad}");
        }
    }
}
