//! The action and the workflows as files: what every one of them must keep to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use regex::Regex;
use serde_yaml::Value;

use super::{Job, ROOT};
use crate::harness::Tool;

/// Every workflow and the action: name, text, and what is in it.
fn files() -> Vec<(String, String, Value)> {
    let workflows = fs::read_dir(Path::new(ROOT).join(".github/workflows")).unwrap();
    let mut paths: Vec<_> = workflows.map(|entry| entry.unwrap().path()).collect();
    paths.push(Path::new(ROOT).join("action.yml"));
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let value = serde_yaml::from_str(&text).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), text, value)
    };
    let files: Vec<_> = paths.into_iter().map(read).collect();
    assert_eq!(files.len(), 4);
    files
}

fn file(name: &str) -> Value {
    files().into_iter().find(|(it, ..)| it == name).unwrap().2
}

/// The jobs of a workflow; the action has none.
fn jobs(file: &Value) -> Vec<(&str, &Value)> {
    let jobs = file.get("jobs").and_then(Value::as_mapping);
    jobs.into_iter().flatten().map(|(name, job)| (name.as_str().unwrap(), job)).collect()
}

fn steps(file: &Value) -> Vec<&Value> {
    let of_jobs = jobs(file).into_iter().filter_map(|(_, job)| job.get("steps"));
    let of_action = file.get("runs").and_then(|runs| runs.get("steps"));
    of_jobs.chain(of_action).flat_map(|steps| steps.as_sequence().unwrap()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect()
}

#[test]
fn every_action_of_others_is_pinned_by_its_commit() {
    let pinned =
        Regex::new(r"^ *(?:- )?uses: ([a-z][a-z-]*/[a-z/-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$")
            .unwrap();
    let mut commits: BTreeMap<String, String> = BTreeMap::new();
    for (name, text, value) in files() {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let uses: Vec<&str> = lines.filter(|line| line.contains("uses:")).collect();
        let of_jobs = jobs(&value).into_iter().filter(|(_, job)| job.get("uses").is_some()).count();
        let of_steps = steps(&value).iter().filter(|step| step.get("uses").is_some()).count();
        assert_eq!(uses.len(), of_jobs + of_steps, "{name}");
        for line in uses {
            if line.contains("uses: ./") {
                continue;
            }
            let found = pinned.captures(line).unwrap_or_else(|| panic!("{name}: {line}"));
            // The same everywhere, so that one look-up proves them all.
            let commit = commits.entry(found[1].to_owned()).or_insert_with(|| found[2].to_owned());
            assert_eq!(*commit, found[2], "{name}: {line}");
        }
    }
    assert!(commits.contains_key("actions/checkout"));
}

#[test]
fn nobody_may_more_than_it_says() {
    for (name, text, value) in files() {
        if name == "action.yml" {
            continue;
        }
        assert_eq!(keys(&value["permissions"]), BTreeSet::new(), "{name}");
        for (job, value) in jobs(&value) {
            let asked = keys(&value["permissions"]);
            let is_call = value.get("uses").is_some();
            assert!(is_call || value.get("timeout-minutes").is_some(), "{name}: {job}");
            // What runs images, or compiles foreign code, can write nothing.
            let writes = asked.iter().filter(|it| value["permissions"][**it] == "write").count();
            let publishes = job.starts_with("publish-") || job == "sarif" || is_call;
            assert!(writes == 0 || publishes, "{name}: {job}");
        }
        for step in steps(&value) {
            let uses = step.get("uses").and_then(Value::as_str).unwrap_or_default();
            let keeps = step.get("with").and_then(|with| with.get("persist-credentials"));
            assert!(
                !uses.starts_with("actions/checkout@") || keeps == Some(&false.into()),
                "{name}"
            );
        }
        let is_called = keys(&value["on"]) == BTreeSet::from(["workflow_call"]);
        assert!(is_called || value.get("concurrency").is_some(), "{name}");
        assert!(!text.contains("pull_request_target"), "{name}");
        assert!(!text.contains("secrets."), "{name}");
    }
}

/// Nothing that comes from outside becomes a part of a command: it goes by the environment.
#[test]
fn commands_are_constant_and_call_what_is_there() {
    let script = Regex::new(r"(?:^|[ /])(\.(?:ci|github)/[a-z/-]+)").unwrap();
    let mut called = BTreeSet::new();
    for (name, _, value) in files() {
        for step in steps(&value) {
            let Some(run) = step.get("run").and_then(Value::as_str) else { continue };
            assert!(!run.contains("${{"), "{name}: {run}");
            if run.starts_with("shellcheck ") {
                continue;
            }
            for found in script.captures_iter(run) {
                let mode = fs::metadata(Path::new(ROOT).join(&found[1]))
                    .unwrap_or_else(|error| panic!("{name}: {}: {error}", &found[1]))
                    .permissions()
                    .mode();
                assert_eq!(mode & 0o111, 0o111, "{name}: {}", &found[1]);
                called.insert(found[1].to_owned());
            }
        }
    }
    for folder in ["action", "release"] {
        for entry in fs::read_dir(Path::new(ROOT).join(".github").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!(".github/{folder}/{name}");
            assert!(called.contains(&path) || name == "inputs.bash", "nobody calls {path}");
        }
    }
}

/// A signal to the step must reach the script that passes it on.
#[test]
fn the_gate_takes_the_place_of_its_shell() {
    let files = [file("action.yml"), file("exposure.yml")];
    let runs = files.iter().flat_map(steps).filter_map(|step| step.get("run")?.as_str());
    let gates = runs.filter(|run| run.contains("/gate\"") || run.contains("/shard\""));
    assert_eq!(gates.inspect(|run| assert!(run.starts_with("exec \""), "{run}")).count(), 2);
}

#[test]
fn every_input_is_passed_on() {
    let action = file("action.yml");
    let text = serde_yaml::to_string(&action["runs"]).unwrap();
    for input in keys(&action["inputs"]) {
        assert!(text.contains(&format!("${{{{ inputs.{input} }}}}")), "{input}");
    }
    let workflow = file("exposure.yml");
    let text = serde_yaml::to_string(&workflow["jobs"]).unwrap();
    for input in keys(&workflow["on"]["workflow_call"]["inputs"]) {
        assert!(text.contains(&format!("inputs.{input}")), "{input}");
    }
    // A step that never ran told no verdict, which is none to go on with.
    assert_eq!(
        action["outputs"]["verdict"]["value"],
        "${{ steps.gate.outputs.verdict || 'error' }}"
    );
}

/// The one step of a job that says whether all is well.
fn gate(file: &Value, job: &str) -> (String, String) {
    let job = &file["jobs"][job];
    assert_eq!(job["if"], "always()");
    let [step] = job["steps"].as_sequence().unwrap().as_slice() else { panic!("several steps") };
    let results = step["env"]["RESULTS"].as_str().unwrap().to_owned();
    (step["run"].as_str().unwrap().to_owned(), results)
}

fn is_green(run: &str, results: &str) -> bool {
    let mut bash = Command::new("bash");
    bash.args(["-e", "-c", run]).env("RESULTS", results).status().unwrap().success()
}

#[test]
fn a_gate_is_green_only_if_all_before_it_are() {
    let ci = file("ci.yml");
    let (run, results) = gate(&ci, "all-green");
    assert_eq!(results, "${{ join(needs.*.result, ' ') }}");
    let needs = ci["jobs"]["all-green"]["needs"].as_sequence().unwrap();
    let needed: BTreeSet<&str> = needs.iter().map(|it| it.as_str().unwrap()).collect();
    let mut all = keys(&ci["jobs"]);
    all.remove("all-green");
    assert_eq!(needed, all);
    only_successes_are_green(&run, needs.len());

    let exposure = file("exposure.yml");
    let (run, results) = gate(&exposure, "gate");
    assert_eq!(results, "${{ needs.plan.result }} ${{ needs.check.result }}");
    assert_eq!(exposure["jobs"]["gate"]["needs"], Value::from(vec!["plan", "check"]));
    only_successes_are_green(&run, 2);
}

/// Else the caller's files would be run as portlid's.
#[test]
fn a_workflow_that_does_not_know_where_it_is_from_stops() {
    let exposure = file("exposure.yml");
    let first = &exposure["jobs"]["plan"]["steps"][0];
    let run = first["run"].as_str().unwrap();
    let ends = |repository: &str, commit: &str| {
        let mut bash = Command::new("bash");
        let bash = bash.args(["-e", "-c", run]).env("REPOSITORY", repository).env("COMMIT", commit);
        let output = bash.output().unwrap();
        assert_eq!(output.status.success(), output.stdout.is_empty());
        output.status.success()
    };
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert!(ends("portlid/portlid", commit));
    for (repository, commit) in [("", ""), ("portlid/portlid", ""), ("", commit), ("a/b", "main")] {
        assert!(!ends(repository, commit), "{repository} {commit}");
    }
}

fn only_successes_are_green(run: &str, count: usize) {
    let all = vec!["success"; count];
    assert!(is_green(run, &all.join(" ")));
    for other in ["failure", "cancelled", "skipped", "", "successful"] {
        for at in 0..count {
            let mut results = all.clone();
            results[at] = other;
            assert!(!is_green(run, &results.join(" ")), "{results:?}");
        }
    }
    assert!(!is_green(run, ""));
    assert!(!is_green(run, &all[1..].join(" ")));
}

/// The recipes of README are for this action and this workflow.
#[test]
fn the_recipes_fit() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, section) = readme.split_once("### On GitHub\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks: Vec<&str> = section.split("```yaml\n").skip(1).collect();
    let blocks = blocks.iter().map(|block| block.split("```").next().unwrap());
    let [step, job] = blocks.collect::<Vec<_>>()[..] else { panic!("two recipes") };

    let action = file("action.yml");
    let steps: Value = serde_yaml::from_str(step).unwrap();
    let step = &steps[0];
    assert_eq!(step["uses"], "portlid/portlid@v0");
    assert!(keys(&step["with"]).is_subset(&keys(&action["inputs"])));

    let exposure = file("exposure.yml");
    let recipe: Value = serde_yaml::from_str(job).unwrap();
    let job = &recipe["jobs"]["exposure"];
    assert_eq!(job["uses"], "portlid/portlid/.github/workflows/exposure.yml@v0");
    assert!(keys(&job["with"]).is_subset(&keys(&exposure["on"]["workflow_call"]["inputs"])));
    // A caller that grants less is refused by GitHub before anything runs.
    for (name, inner) in jobs(&exposure) {
        for (permission, level) in inner["permissions"].as_mapping().unwrap() {
            assert_eq!(job["permissions"].get(permission), Some(level), "{name}");
        }
    }
}

#[test]
fn the_release_is_published_at_once_and_moves_the_major_tag() {
    let gh = "echo \"$@\" >>calls; case \"$1 $2\" in 'release view') [ -n \"$DRAFT\" ] && echo true ;; esac";
    let publish = |tag: &str, draft: &str| {
        let job = Job::new()
            .program("gh", gh)
            .env("GITHUB_REPOSITORY", "portlid/portlid")
            .env("GITHUB_SHA", "0123")
            .env("DRAFT", draft);
        let script = Path::new(ROOT).join(".github/release/publish");
        let status = job.command(&script).args([tag, "dist/a b", "dist/c"]).status().unwrap();
        assert!(status.success());
        fs::read_to_string(job.work().join("calls")).unwrap()
    };
    let calls = publish("v1.2.3", "");
    insta::assert_snapshot!(calls, @"
    release view v1.2.3 --json isDraft --jq .isDraft
    release create v1.2.3 --draft --verify-tag --title v1.2.3 --generate-notes
    release upload v1.2.3 --clobber dist/a b dist/c
    release edit v1.2.3 --draft=false --latest
    api --silent --method PATCH repos/portlid/portlid/git/refs/tags/v1 -f sha=0123 -F force=true
    ");
    let calls = publish("v1.2.3-rc.1", "yes");
    insta::assert_snapshot!(calls, @"
    release view v1.2.3-rc.1 --json isDraft --jq .isDraft
    release upload v1.2.3-rc.1 --clobber dist/a b dist/c
    release edit v1.2.3-rc.1 --draft=false --prerelease --latest=false
    ");
}

/// Beside the archive, which is there only in a release.
#[test]
fn the_spec_of_its_own_image_is_a_spec() {
    let folder = Path::new(ROOT).join(".github/image");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let seen = Tool::new(&["lint", "image/portlid.yaml", "image/specs"])
        .file("image/portlid.yaml", &read("portlid.yaml"))
        .file("image/specs/any.yaml", &read("specs/any.yaml"))
        .file("image/portlid.tar", "")
        .run();
    assert_eq!(seen.code, Some(0), "{seen}");
}
