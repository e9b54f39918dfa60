//! Keys that are right each for itself, and cannot both be meant.

use crate::spec::{
    fault::{Fault, Faults, Mark},
    fields::Fields,
    model::{Egress, Publish, PublishMode, Run, Subject},
    raw::{Entry, Value},
    validate::expose::Allowed,
};

pub(super) fn check(
    fields: &Fields<'_>,
    subject: Option<&Subject>,
    run: &Run,
    allowed: &[Allowed],
    faults: &mut Faults,
) {
    if matches!(subject, Some(Subject::Container(_))) {
        check_container(fields, faults);
    }
    check_egress(fields, run, faults);
    check_published(fields, run, allowed, faults);
}

/// An entry below `run`.
fn run_entry<'n>(fields: &Fields<'n>, key: &str) -> Option<&'n Entry> {
    match &fields.get("run")?.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// A container that already runs was started by somebody else: nothing can be said of how.
fn check_container(fields: &Fields<'_>, faults: &mut Faults) {
    const HINT: &str = "remove it, or name an `image` instead of a running container";
    let mut refuse = |entry: &Entry| {
        let message = format!("`{}` means nothing for a container that already runs", entry.key);
        let fault = Fault::new(entry.mark.clone(), message).hint(HINT);
        faults.push(match fields.entry("container") {
            Some(container) => fault.also(container.mark.clone(), "it already runs"),
            None => fault,
        });
    };
    ["needs", "platform"].iter().filter_map(|key| fields.entry(key)).for_each(&mut refuse);
    if let Some(run) = fields.get("run")
        && let Value::Map(entries) = &run.value
    {
        // What is expected to be published can be said of any container.
        entries.iter().filter(|entry| entry.key != "publish").for_each(&mut refuse);
    }
}

/// A network without a way out has no way in from the host.
fn check_egress(fields: &Fields<'_>, run: &Run, faults: &mut Faults) {
    let PublishMode::List(published) = &run.publish else { return };
    if run.egress == Egress::Allow || published.is_empty() {
        return;
    }
    let Some(publish) = run_entry(fields, "publish") else { return };
    let message = "nothing can be published from a network without a way out";
    let fault = Fault::new(publish.mark.clone(), message).hint("drop `egress: deny` or `publish`");
    faults.push(match run_entry(fields, "egress") {
        Some(egress) => fault.also(egress.mark.clone(), "no way out"),
        None => fault,
    });
}

/// What `expose` asks of publishing, and what `run` does.
fn check_published(fields: &Fields<'_>, run: &Run, allowed: &[Allowed], faults: &mut Faults) {
    let cause = |key: &str| run_entry(fields, key).map(|entry| entry.mark.clone());
    for Allowed { entry, publish, mark } in allowed {
        let ports = entry.ports;
        let lists = match &run.publish {
            PublishMode::All => None,
            PublishMode::None => Some(false),
            PublishMode::List(list) => Some(list.iter().any(|it| ports.contains(it.port))),
        };
        let (message, cause): (String, Option<Mark>) = match (entry.publish, lists) {
            (Publish::Required, _) if run.egress == Egress::Deny => {
                let message = format!("`{ports}` must be published, but `egress: deny` forbids it");
                (message, cause("egress"))
            }
            (Publish::Required, Some(false)) => {
                let message =
                    format!("`{ports}` must be published, but `run.publish` leaves it out");
                (message, cause("publish"))
            }
            (Publish::Never, Some(true)) => {
                let message =
                    format!("`{ports}` must not be published, but `run.publish` lists it");
                (message, cause("publish"))
            }
            _ => continue,
        };
        let at = publish.as_ref().unwrap_or(mark);
        let fault = Fault::new(at.clone(), message).hint("change one of the two");
        faults.push(match cause {
            Some(cause) => fault.also(cause, "stated here"),
            None => fault,
        });
    }
}
