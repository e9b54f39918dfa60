//! Whether a statement is about the image: by a digest that both have, and by what its specs looked at.

use std::collections::BTreeSet;

use super::{
    Compared, Demands, Wanted,
    claims::{Claim, Claims, Subject},
    fields::Reasons,
};
use crate::foreign::shown;

const UNKNOWN_MANIFEST: &str = "its specs looked at this very image; if its subject is the digest of \
                                the same image's manifest, pull it by that digest, NAME@DIGEST, so \
                                that the engine knows both";

/// How a statement is about the image.
pub(super) struct Match<'c, 'a> {
    pub(super) subject: &'c Subject<'a>,
    pub(super) compared: Compared,
    pub(super) looked_at: Vec<&'c Claim<'a>>,
}

/// The subject that is the image, if at least one spec about it is told of: a predicate can be signed
/// for any image, but it says itself which one was looked at.
pub(super) fn image<'c, 'a>(
    claims: &'c Claims<'a>,
    wanted: &Wanted,
    reasons: &mut Reasons,
) -> Option<Match<'c, 'a>> {
    let found =
        claims.subjects.iter().find_map(|subject| same(subject, wanted).map(|it| (subject, it)));
    let Some((subject, compared)) = found else {
        if !claims.subjects.is_empty() {
            let about: Vec<String> = claims
                .subjects
                .iter()
                .take(5)
                .map(|subject| format!("`{}` (`{}`)", subject.digest, shown(subject.name, 100)))
                .collect();
            // Signed under the digest of a manifest, and the engine knows the image by another one.
            let is_looked_at = claims.tests.iter().any(|test| wanted.is(&test.digest));
            reasons.push(
                format!("it is not about {}, but about {}", described(wanted), about.join(", ")),
                if is_looked_at { UNKNOWN_MANIFEST } else { wrong_image_hint(wanted) },
            );
        }
        return None;
    };
    let by_id = (compared == Compared::Id).then_some(subject.digest.as_str());
    let looked_at: Vec<&'c Claim<'a>> = claims
        .tests
        .iter()
        .filter(|test| wanted.is(&test.digest) || by_id == Some(test.digest.as_str()))
        .collect();
    if looked_at.is_empty() {
        let digests: BTreeSet<&str> = claims.tests.iter().map(|it| it.digest.as_str()).collect();
        let digests: Vec<String> = digests.iter().take(5).map(|it| format!("`{it}`")).collect();
        if !digests.is_empty() {
            reasons.push(
                format!(
                    "it was signed for {}, but what was looked at is {}",
                    described(wanted),
                    digests.join(", ")
                ),
                "if that is the same image's id, have the engine say so: pull the image, and name it \
                 by its tag; else sign the predicate of the run that looked at this image",
            );
        }
        return None;
    }
    Some(Match { subject, compared, looked_at })
}

/// Every platform that is asked for, and the engine's own, must have been looked at: by one statement
/// or another, for images of several platforms share a digest, and a run looks at one of them.
pub(super) fn looked_at(
    platforms: &BTreeSet<String>,
    wanted: Option<&Wanted>,
    demands: &Demands,
    reasons: &mut Reasons,
) {
    let resolved = match wanted {
        Some(Wanted::Resolved { platform, .. }) => platform.as_deref(),
        Some(Wanted::Stated { .. }) | None => None,
    };
    // Without any, it is another image altogether, which was told already.
    if platforms.is_empty() {
        return;
    }
    let seen: Vec<String> = platforms.iter().take(5).map(|it| shown(it, 60)).collect();
    for platform in demands.platforms.iter().map(String::as_str).chain(resolved) {
        if !platforms.iter().any(|seen| is_for(seen, platform)) {
            reasons.push(
                format!(
                    "it was looked at for {}, not for {}",
                    seen.join(", "),
                    shown(platform, 60)
                ),
                "images of several platforms share a digest: look at it on each of them",
            );
        }
    }
}

/// Whether the subject is the image, and by what.
pub(super) fn same(subject: &Subject<'_>, wanted: &Wanted) -> Option<Compared> {
    let has_own_id = subject.own.as_ref().is_some_and(|own| wanted.has_id(&own.image_id));
    match wanted {
        Wanted::Stated { .. } if wanted.is(&subject.digest) => Some(Compared::Stated),
        Wanted::Resolved { digests, .. } if digests.contains(&subject.digest) => {
            Some(Compared::Registry)
        }
        Wanted::Resolved { .. } if wanted.has_id(&subject.digest) || has_own_id => {
            Some(Compared::Id)
        }
        Wanted::Stated { .. } | Wanted::Resolved { .. } => None,
    }
}

/// Whether an image for `found` is one for `wanted`. Where either names no variant, it does not count.
fn is_for(found: &str, wanted: &str) -> bool {
    let parts = |text: &str| {
        let mut parts = text.split('/').map(str::to_owned);
        (parts.next(), parts.next(), parts.next())
    };
    let (found, wanted) = (parts(found), parts(wanted));
    let same_variant = found.2.is_none() || wanted.2.is_none() || found.2 == wanted.2;
    (&found.0, &found.1) == (&wanted.0, &wanted.1) && same_variant
}

fn described(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Stated { digest } => format!("`{digest}`"),
        Wanted::Resolved { id, digests, .. } => {
            let all: Vec<String> = digests
                .iter()
                .take(5)
                .map(|digest| format!("`{digest}`"))
                .chain([format!("the image with the id `{id}`")])
                .collect();
            all.join(" or ")
        }
    }
}

pub(super) fn wrong_image_hint(wanted: &Wanted) -> &'static str {
    match wanted {
        Wanted::Stated { .. } => {
            "name the digest that was tested: an image's id, its manifest's digest and the digest of \
             an index of several platforms differ; with a tag, the engine says which belong together"
        }
        Wanted::Resolved { .. } => {
            "test the image that is to be released, and name that one; a tag may have moved since"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn a_variant_counts_where_both_name_one() {
        for (found, wanted, is) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(is_for(found, wanted), is, "{found} {wanted}");
        }
    }
}
