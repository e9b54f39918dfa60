//! The rules about what the image declares and what the engine publishes on the host.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Case, Draft, wording::join};
use crate::{
    observation::{Published, PublishedBy},
    rule::Rule,
    socket::{Bind, Port, Scope, canonical, scope},
    spec::{Place, Publish, PublishMode},
};

pub(super) fn judge(case: &mut Case<'_>) {
    let seen = case.seen;
    for &port in &seen.declared {
        declared(case, port);
    }
    let mut by_port: BTreeMap<Port, Vec<&Published>> = BTreeMap::new();
    for published in &seen.published {
        by_port.entry(published.port).or_default().push(published);
    }
    for (&port, on_host) in &by_port {
        published(case, port, on_host);
    }
    for (index, port) in case.spec.required_to_be_published() {
        if !by_port.contains_key(&port) {
            let message = "it must be published, and it is not".to_owned();
            let help = match seen.published_by {
                PublishedBy::Declaration => {
                    format!("add `EXPOSE {port}` to the Dockerfile, or name it in `run.publish`")
                }
                PublishedBy::Spec => "name it in `run.publish`".to_owned(),
                PublishedBy::Others => format!("start the container with `-p {}`", port.number),
            };
            let place = Place::Entry(index);
            case.find(Draft::new(Rule::MissingPublish, Some(port), place, message, help));
        }
    }
}

/// Whether something that others can reach listens on `port`.
fn listens(case: &Case<'_>, port: Port) -> bool {
    case.seen.sockets_of(port).any(|socket| scope(socket.address) != Scope::Loopback)
}

fn declared(case: &mut Case<'_>, port: Port) {
    let entry = case.spec.entry_for(port);
    if entry.is_none() {
        let message = "the image declares it, and no entry allows it".to_owned();
        let help =
            "an inherited `EXPOSE` cannot be taken back by a Dockerfile: build from another \
                    base, or list the port as `optional: true` with a `why`"
                .to_owned();
        case.find(Draft::new(Rule::UnlistedExpose, Some(port), Place::Expose, message, help));
    }
    if !listens(case, port) {
        let place = entry.map_or(Place::Expose, |(index, _)| Place::Entry(index));
        let message = "the image declares it, and nothing that others can reach listens on it";
        let help = format!("take `EXPOSE {port}` out of the Dockerfile, or open the port");
        case.find(Draft::new(Rule::SilentExpose, Some(port), place, message.to_owned(), help));
    }
}

fn published(case: &mut Case<'_>, port: Port, on_host: &[&Published]) {
    let (spec, seen) = (case.spec, case.seen);
    let entry = spec.entry_for(port);
    let place = entry.map_or(Place::Expose, |(index, _)| Place::Entry(index));
    let where_to = join(on_host.iter().map(|at| format!("`{}`", at.on_host())), 4);

    let forbidden = match entry {
        None => Some("no entry allows it"),
        Some((_, entry)) if entry.publish == Publish::Never => Some("its entry says `never`"),
        Some(_) => None,
    };
    if let Some(why) = forbidden {
        let message = format!("it is published at {where_to}, and {why}");
        let help = match seen.published_by {
            PublishedBy::Declaration => format!(
                "`docker run -P` publishes it because the image declares it: take `EXPOSE {port}` \
                 out of the Dockerfile, or say what is published with `run.publish`"
            ),
            PublishedBy::Spec => "take it out of `run.publish`, or allow it".to_owned(),
            PublishedBy::Others => "start the container without publishing it".to_owned(),
        };
        // What is published only because it is declared is judged no harder than the declaration.
        let level = match (seen.published_by, entry) {
            (PublishedBy::Declaration, None) => {
                spec.level(Rule::UnlistedPublish).max(spec.level(Rule::UnlistedExpose))
            }
            _ => spec.level(Rule::UnlistedPublish),
        };
        case.find_at(
            level,
            Draft::new(Rule::UnlistedPublish, Some(port), place, message, help).on_host(on_host),
        );
    }

    let wide: Vec<&Published> = on_host
        .iter()
        .copied()
        .filter(|published| !asked(case, published).allows(published.host))
        .collect();
    if !wide.is_empty() {
        let message = format!(
            "it is published at {}, wider than asked",
            join(wide.iter().map(|at| format!("`{}`", at.on_host())), 4)
        );
        let help = format!(
            "publish it on one address (`-p 127.0.0.1:{0}:{0}`); if it must be wider, say so \
             under `run.publish`",
            port.number
        );
        case.find(
            Draft::new(Rule::PublishTooWide, Some(port), place, message, help).on_host(&wide),
        );
    }

    if !listens(case, port) {
        let message = format!("it is published at {where_to}, with nothing behind it");
        let help = "the engine's proxy accepts connections there all the same, so that a check \
                    from outside sees an open port: open it in the container, or do not publish it"
            .to_owned();
        let may_stay_shut =
            entry.is_none_or(|(_, entry)| entry.optional && entry.publish != Publish::Required);
        let level = match seen.published_by {
            PublishedBy::Declaration if may_stay_shut => {
                spec.level(Rule::DeadPublish).max(spec.level(Rule::SilentExpose))
            }
            PublishedBy::Declaration | PublishedBy::Spec | PublishedBy::Others => {
                spec.level(Rule::DeadPublish)
            }
        };
        case.find_at(
            level,
            Draft::new(Rule::DeadPublish, Some(port), place, message, help).on_host(on_host),
        );
    }
}

/// How wide a port was asked to be published. Where nobody asked for anything: on loopback.
fn asked(case: &Case<'_>, published: &Published) -> Bind {
    let PublishMode::List(list) = &case.spec.run.publish else {
        return Bind::Loopback;
    };
    let mut hosts = list.iter().filter(|entry| entry.port == published.port).map(|it| it.host);
    // A port may be listed on several addresses: the one that was asked for is the measure.
    match hosts.clone().find(|&host| same_host(host, published.host)).or_else(|| hosts.next()) {
        Some(host) if host.is_unspecified() => Bind::Any,
        Some(host) => Bind::Address(host),
        None => Bind::Loopback,
    }
}

fn same_host(asked: IpAddr, published: IpAddr) -> bool {
    asked.is_unspecified() || canonical(asked) == canonical(published)
}
