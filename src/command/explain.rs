//! `portlid explain`: what the rules mean. Needs neither specs nor an engine.

use crate::{
    exit::Exit,
    foreign::shown,
    output,
    rule::{Explained, Rule},
};

/// Explains the rule of that id, or lists all rules.
pub(super) fn explain(rule: Option<&str>) -> Exit {
    let Some(asked) = rule else {
        for rule in Rule::ALL {
            let fixed = if rule.is_fixed() { ", fixed" } else { "" };
            output::result(&format!(
                "{:19} {:11} {}\n",
                rule.id(),
                format!("{}{fixed}", rule.default_level()),
                rule.summary()
            ));
        }
        return Exit::Pass;
    };
    let Ok(rule) = asked.parse::<Rule>() else {
        let near = Rule::ALL
            .into_iter()
            .max_by(|one, other| {
                let similar = |rule: &Rule| strsim::jaro_winkler(rule.id(), asked);
                similar(one).total_cmp(&similar(other))
            })
            .map_or("", Rule::id);
        output::line(&format!(
            "error: there is no rule `{}`\n  help: did you mean `{near}`?",
            shown(asked, 60)
        ));
        return Exit::Usage;
    };
    output::result(&explanation(rule));
    Exit::Pass
}

/// All there is to say of a rule.
fn explanation(rule: Rule) -> String {
    let fixed = if rule.is_fixed() { " (fixed: no spec can change it)" } else { "" };
    let cis = match rule.cis() {
        [] => String::new(),
        items => format!("CIS Docker Benchmark 1.6.0: {}\n", items.join(", ")),
    };
    let Explained { why, mend, servers } = rule.explained();
    let indented =
        |text: &str| text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    let servers = servers
        .map(|servers| format!("\nin common servers:\n{}\n", indented(servers)))
        .unwrap_or_default();
    format!(
        "{rule}\n  {}\n\nlevel: {}{fixed}\n{cis}\nwhy it matters:\n{}\n\nwhat to do:\n{}\n{servers}",
        rule.summary(),
        rule.default_level(),
        indented(why),
        indented(mend),
    )
}
