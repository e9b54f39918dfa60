//! The entries of `expose` together: no port twice, not every port, none that is never allowed.

use crate::{
    socket::{PortRange, Protocol},
    spec::{
        fault::{Fault, Faults, Mark},
        fields::list,
        raw::Node,
        shown::quoted,
        validate::{expose::Allowed, ports},
    },
};

/// Reports every entry that allows a port which an earlier entry allows as well.
pub(super) fn check_overlaps(allowed: &[Allowed], faults: &mut Faults) {
    let mut order: Vec<usize> = (0..allowed.len()).collect();
    order.sort_by_key(|&index| {
        let ports = allowed[index].entry.ports;
        (ports.protocol, ports.first, index)
    });
    let mut widest: Option<usize> = None;
    for index in order {
        let ports = allowed[index].entry.ports;
        let before = widest.filter(|&it| allowed[it].entry.ports.protocol == ports.protocol);
        if let Some(before) = before.filter(|&it| allowed[it].entry.ports.overlaps(ports)) {
            let (first, second) = (before.min(index), before.max(index));
            let (one, two) = (&allowed[first], &allowed[second]);
            let message = if one.entry.ports == two.entry.ports {
                format!("`{}` is listed twice", two.entry.ports)
            } else {
                format!("`{}` overlaps `{}`", two.entry.ports, one.entry.ports)
            };
            faults.push(
                Fault::new(two.mark.clone(), message)
                    .hint("each port is allowed by one entry: remove or narrow one of the two")
                    .also(one.mark.clone(), "allowed here already"),
            );
        }
        if before.is_none_or(|it| allowed[it].entry.ports.last < ports.last) {
            widest = Some(index);
        }
    }
}

/// A protocol of which most ports are allowed is not gated at all.
pub(super) fn check_everything(node: &Node, allowed: &[Allowed], faults: &mut Faults) {
    for protocol in Protocol::ALL {
        let (lowest, highest): (u16, u16) =
            if protocol == Protocol::Raw { (0, 255) } else { (1, u16::MAX) };
        let ranges: Vec<&Allowed> =
            allowed.iter().filter(|it| it.entry.ports.protocol == protocol).collect();
        // Entries do not overlap, or that is a problem of its own.
        let count: u32 = ranges
            .iter()
            .map(|it| u32::from(it.entry.ports.last) - u32::from(it.entry.ports.first) + 1)
            .sum();
        if count <= (u32::from(highest) - u32::from(lowest)) / 2 {
            continue;
        }
        let (mark, message) = match ranges.as_slice() {
            [only] => (only.mark.clone(), format!("this allows most of all {protocol} ports")),
            _ => {
                let message = format!("together these entries allow most of all {protocol} ports");
                (node.mark.clone(), message)
            }
        };
        let hint = "list the ports that are meant to be open: a gate that is always open is none";
        faults.push(Fault::new(mark, message).hint(hint));
    }
}

/// A port that a defaults file never wants to be allowed just so.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Never {
    pub(in crate::spec) ports: PortRange,
    pub(in crate::spec) mark: Mark,
}

/// Reads the value of `never` in a defaults file.
pub(super) fn never(node: &Node, faults: &mut Faults) -> Vec<Never> {
    let items = list(node, "never", faults).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let ports = ports::range(item, "never", faults)?;
            Some(Never { ports, mark: item.mark.clone() })
        })
        .collect()
}

/// Reports entries that allow what no spec may allow without `until` and `why`.
pub(super) fn check_never(allowed: &[Allowed], never: &[Never], faults: &mut Faults) {
    for Allowed { entry, mark, .. } in allowed {
        let stated = [("`until`", entry.until.is_some()), ("`why`", entry.why.is_some())];
        let missing: Vec<&str> =
            stated.iter().filter(|(_, is_stated)| !is_stated).map(|(key, _)| *key).collect();
        if missing.is_empty() {
            continue;
        }
        let Some(rule) = never.iter().find(|rule| rule.ports.overlaps(entry.ports)) else {
            continue;
        };
        let file = rule.mark.source().file.to_string_lossy();
        let message = if rule.ports == entry.ports {
            format!("`{}` may not be allowed without `until` and `why`", entry.ports)
        } else {
            format!(
                "`{}` allows `{}`, which may not be without `until` and `why`",
                entry.ports, rule.ports,
            )
        };
        let hint = format!(
            "{} says `never`: state {}, or close the port",
            quoted(&file),
            missing.join(" and "),
        );
        faults.push(
            Fault::new(mark.clone(), message).hint(hint).also(rule.mark.clone(), "never allowed"),
        );
    }
}
