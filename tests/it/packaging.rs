//! What packages need: completions that complete, and a manual that formats.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use portlid::rule::Rule;

use crate::harness::Tool;

/// Every command of the help.
fn commands() -> Vec<String> {
    let help = Tool::new(&["--help"]).run().stdout;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // What goes on in the next line is indented further.
    let names = list.lines().filter_map(|line| line.strip_prefix("  "));
    names
        .filter_map(|line| line.split(' ').next().filter(|it| !it.is_empty()))
        .map(str::to_owned)
        .collect()
}

/// What bash offers for a command line, with the script that portlid prints.
fn bash_completes(words: &[&str]) -> Vec<String> {
    let script = Tool::new(&["completions", "bash"]).run();
    assert_eq!(script.code, Some(0), "{script}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portlid");
    std::fs::write(&path, script.stdout).unwrap();
    // As bash calls it: the command, the word at the cursor and the one before.
    let run = r#"
        set -eu
        source "$1"; shift
        complete -p portlid | grep -q -- '-F _portlid'
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _portlid portlid "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["-c", run, "bash"])
        .arg(&path)
        .args(words)
        .output()
        .expect("these tests need bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_commands_flags_and_rules() {
    assert_eq!(bash_completes(&["portlid", "te"]), ["test"]);
    assert_eq!(bash_completes(&["portlid", "ver"]), ["verify"]);
    for command in commands().iter().filter(|command| *command != "help") {
        assert!(bash_completes(&["portlid", ""]).contains(command), "{command}");
    }
    assert_eq!(bash_completes(&["portlid", "verify", "--max"]), ["--max-age"]);
    assert_eq!(bash_completes(&["portlid", "completions", "z"]), ["zsh"]);
    assert_eq!(bash_completes(&["portlid", "test", "--pull", "n"]), ["never"]);
    let rules = bash_completes(&["portlid", "explain", "unlisted-"]);
    assert_eq!(
        rules,
        ["unlisted-listener", "unlisted-expose", "unlisted-publish", "unlisted-reachable"]
    );
    for rule in Rule::ALL {
        assert!(
            bash_completes(&["portlid", "explain", ""]).contains(&rule.id().to_owned()),
            "{rule}"
        );
    }
}

#[test]
fn every_shell_has_a_script_that_knows_everything() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let seen = Tool::new(&["completions", shell]).run();
        assert_eq!(seen.code, Some(0), "{seen}");
        for word in
            commands().iter().map(String::as_str).chain(["max-age", "allow-warnings", "engine"])
        {
            assert!(seen.stdout.contains(word), "{shell} does not know `{word}`");
        }
        // The ids, and where there is room the words about them.
        let has_room = ["zsh", "fish"].contains(&shell);
        if has_room || shell == "bash" {
            for rule in Rule::ALL {
                assert!(seen.stdout.contains(rule.id()), "{shell} does not know `{rule}`");
            }
        }
        assert_eq!(seen.stderr, "", "{seen}");
    }
    Tool::new(&["completions", "sh"]).run().refuses(2, &["possible values: bash, elvish, fish"]);
    Tool::new(&["completions"]).run().refuses(2, &["<SHELL>"]);
}

/// A wrong rule is still answered in our words, with what was most likely meant.
#[test]
fn a_wrong_rule_is_no_matter_of_the_shell() {
    Tool::new(&["explain", "unlisted-listner"]).run().refuses(
        2,
        &["error: there is no rule `unlisted-listner`", "did you mean `unlisted-listener`?"],
    );
}

/// Formats a page, and fails for whatever the formatter warns of.
fn formats(name: &str, page: &str) -> String {
    let formatters: [(&str, &[&str]); 2] =
        [("groff", &["-man", "-ww", "-Tutf8", "-P-cbou"]), ("mandoc", &["-Tutf8", "-Wwarning"])];
    for (program, arguments) in formatters {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else { continue };
        let mut input = child.stdin.take().unwrap();
        let text = page.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Half of what `mandoc` warns of is style that the generator has.
        if program == "groff" {
            assert_eq!(said, "", "{program} on {name}");
        }
        assert!(output.status.success() || program == "mandoc", "{program} on {name}: {said}");
        return String::from_utf8(output.stdout).unwrap();
    }
    panic!("these tests need `groff` (Debian: groff-base) or `mandoc`");
}

#[test]
fn the_manual_is_whole() {
    let whole = Tool::new(&["man"]).run();
    assert_eq!(whole.code, Some(0), "{whole}");
    let text = formats("the whole manual", &whole.stdout);
    let commands: Vec<String> = commands().into_iter().filter(|it| it != "help").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in &commands {
        assert!(text.contains(&format!("PORTLID-{}(1)", command.to_uppercase())), "{command}");
        assert!(text.contains(&format!("portlid-{command}(1)")), "{command}");
    }
    let tool = Tool::new(&["man", "--dir", "share/man1"]);
    let seen = tool.run();
    assert_eq!(seen.code, Some(0), "{seen}");
    let mut pages: Vec<String> = commands.iter().map(|it| format!("portlid-{it}.1")).collect();
    pages.insert(0, "portlid.1".to_owned());
    let told: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(told, pages.iter().map(|it| format!("share/man1/{it}")).collect::<Vec<_>>());
    let mut all = String::new();
    for page in &pages {
        let roff = std::fs::read_to_string(tool.path().join("share/man1").join(page)).unwrap();
        let text = formats(page, &roff);
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"] {
            assert!(text.contains(&format!("\n{section}\n")), "{page} lacks {section}:\n{text}");
        }
        all.push_str(&roff);
    }
    // What is printed is what is written.
    assert_eq!(all, whole.stdout);
}

/// A page says what the help says.
#[test]
fn a_page_reads_well() {
    let tool = Tool::new(&["man", "--dir", "."]);
    tool.run();
    let page =
        |name: &str| formats(name, &std::fs::read_to_string(tool.path().join(name)).unwrap());
    let text = page("portlid-verify.1");
    let help = Tool::new(&["verify", "--help"]).run().stdout;
    for line in help.lines().filter(|line| line.trim_start().starts_with("--")) {
        let flag = line.split_whitespace().next().unwrap();
        assert!(text.contains(flag), "{flag}");
    }
    // Examples stay in their lines, and the exit codes have a place of their own.
    assert!(
        text.contains("\n              portlid verify portlid.intoto --image web:candidate\n"),
        "{text}"
    );
    assert!(
        text.contains("\nEXIT STATUS\n       0  verified,")
            || text.contains("\nEXIT STATUS\n       0 verified,"),
        "{text}"
    );
    let text = page("portlid.1");
    assert!(text.contains("\nCOMMANDS\n       portlid-test(1)\n"), "{text}");
    assert!(text.starts_with("PORTLID(1)") && text.contains("User Commands"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told() {
    let tool = Tool::new(&["man", "--dir", "file/man1"]).file("file", "");
    tool.run().refuses(2, &["error: cannot write `file/man1/portlid.1`: ", "\n  help: "]);
    assert!(!Path::new("file/man1").exists());
}
