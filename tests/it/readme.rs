//! README must be true of the program.

use portlid::rule::Rule;

use crate::harness::Tool;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn its_rules_are_the_rules() {
    let text = readme();
    for rule in Rule::ALL {
        let fixed = if rule.is_fixed() { ", fixed" } else { "" };
        let row = format!("| `{rule}` | {}{fixed} | {} |\n", rule.default_level(), rule.summary());
        assert!(text.contains(&row), "README lacks: {row}");
    }
}

#[test]
fn its_specs_are_specs() {
    let text = readme();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let specs: Vec<&str> = blocks.filter(|block| block.contains("\nexpose:")).collect();
    assert_eq!(specs.len(), 2);
    for spec in specs {
        let seen = Tool::new(&["lint"]).file("specs/web.yaml", spec).run();
        assert_eq!(seen.code, Some(0), "{seen}");
    }
}

#[test]
fn its_flags_are_flags() {
    let help = Tool::new(&["test", "--help"]).run().stdout;
    for flag in ["--image", "--report", "--pull", "--engine", "--list"] {
        assert!(readme().contains(flag) && help.contains(flag), "{flag}");
    }
    for command in ["test", "look", "init", "diff", "lint", "clean", "explain", "verify", "schema"]
    {
        assert!(readme().contains(&format!("$ portlid {command}")), "{command}");
    }
}
