//! The package as it would be published, used by a crate of somebody else: `tests/external`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use flate2::read::GzDecoder;

use crate::engine;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Writes what is not so already: cargo compiles anew what was written.
fn put(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn cargo() -> Command {
    // Behind the tests beside it, some of which are about time.
    let mut cargo = Command::new("nice");
    cargo.args(["-n", "19", env!("CARGO")]);
    // What cargo set for these tests is not meant for another package.
    let own =
        ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"];
    for name in own {
        cargo.env_remove(name);
    }
    cargo.stdin(Stdio::null());
    cargo
}

/// Packages portlid, and unpacks that into `to`; the names of its files.
fn package(work: &Path, to: &Path) -> BTreeSet<String> {
    // It need not be committed, and what is newer than a registry knows is not asked for.
    let packaged = cargo()
        .args(["package", "--no-verify", "--allow-dirty", "--offline", "--locked", "--target-dir"])
        .arg(work)
        .current_dir(ROOT)
        .output()
        .unwrap();
    let said = String::from_utf8(packaged.stderr).unwrap();
    assert!(packaged.status.success(), "{said}");
    // Tests and examples that need this repository stay here.
    let is_meant = |line: &str| line.contains("is not included in the published package");
    let unmeant = said.lines().find(|line| line.contains("warning") && !is_meant(line));
    assert_eq!(unmeant, None, "{said}");
    let name = format!("portlid-{}", env!("CARGO_PKG_VERSION"));
    let archive = fs::File::open(work.join(format!("package/{name}.crate"))).unwrap();
    let mut names = BTreeSet::new();
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().strip_prefix(&name).unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes).unwrap();
        put(&to.join(&path), &bytes);
        names.insert(path.to_str().unwrap().to_owned());
    }
    for path in files(to) {
        let name = path.strip_prefix(to).unwrap().to_str().unwrap();
        if !names.contains(name) {
            fs::remove_file(&path).unwrap();
        }
    }
    names
}

/// The folder of a crate that depends on the package, and what the package holds.
fn external() -> &'static (PathBuf, BTreeSet<String>) {
    static MADE: OnceLock<(PathBuf, BTreeSet<String>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("external");
        let names = package(&work, &work.join("portlid"));
        let (from, to) = (Path::new(ROOT).join("tests/external"), work.join("crate"));
        for path in files(&from).iter().filter(|path| !path.ends_with("Cargo.lock")) {
            let text = fs::read_to_string(path).unwrap();
            let text = text.replace("path = \"../..\"", "path = \"../portlid\"");
            put(&to.join(path.strip_prefix(&from).unwrap()), text.as_bytes());
        }
        // The same versions as here: they are at hand.
        fs::copy(Path::new(ROOT).join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
        (to, names)
    })
}

/// `cargo test --test NAME`, with the image that the crate asks for.
fn cargo_test(name: &str) -> Command {
    let (folder, _) = external();
    let mut command = cargo();
    command
        .args(["test", "--offline", "--quiet", "--test", name, "--target-dir"])
        // Most of what it is made of was compiled for these tests already.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env("PORTLID_FIXTURE", engine::fixture(&["80/tcp"]))
        .current_dir(folder);
    command
}

/// What came of `cargo test --test NAME -- ARGUMENTS`.
fn test(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = cargo_test(name).arg("--").args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn the_package_holds_what_builds_it_and_no_more() {
    let (_, names) = external();
    let of_cargo = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"];
    let others: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("src/") && !of_cargo.contains(name))
        .collect();
    let expected = [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "docs/comparison.md",
        "docs/recipes.md",
        "tests/data/sarif-schema-2.1.0.json",
    ];
    assert_eq!(others, expected);
    // Its unit tests, too, find what they are held against.
    let root = Path::new(ROOT).canonicalize().unwrap();
    for name in names.iter().filter(|name| name.ends_with(".rs")) {
        let text = fs::read_to_string(root.join(name)).unwrap();
        for included in text.split("include_str!(\"").skip(1) {
            let included = included.split('"').next().unwrap();
            let path = root.join(name).parent().unwrap().join(included).canonicalize().unwrap();
            let path = path.strip_prefix(&root).unwrap().to_str().unwrap();
            assert!(names.contains(path), "{name} needs {path}");
        }
    }
}

/// What `cargo binstall` asks for is what a release has, and nothing but that.
#[test]
fn the_files_of_a_release_can_be_found() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (manifest, release) = (read("Cargo.toml"), read(".github/workflows/release.yml"));
    let url = "pkg-url = \"{ repo }/releases/download/v{ version }/";
    let asked: BTreeSet<&str> =
        manifest.split(url).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let summed = release.lines().find_map(|line| line.split_once("sha256sum ")).unwrap().1;
    let made: BTreeSet<&str> = summed.split('>').next().unwrap().split_whitespace().collect();
    assert_eq!(asked, made);
    for name in asked {
        let machine = name.strip_prefix("portlid-linux-").unwrap();
        assert!(manifest.contains(&format!("overrides.{machine}-unknown-linux-gnu]")), "{name}");
    }
}

#[test]
fn its_harness_makes_a_test_of_each_spec() {
    let (code, said) = test("exposure", &["--list"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("pass: test") && said.contains("fail: test"), "{said}");

    let (code, said) = test("exposure", &["pass"]);
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = test("exposure", &["fail"]);
    assert_eq!(code, Some(101), "{said}");
    for part in
        ["FAILED: 1 rule is broken", "fail[unlisted-listener]: 81/tcp", "--> specs/fail.yaml:3:1"]
    {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn its_harness_takes_specs_that_are_made_in_code() {
    let (code, said) = test("table", &[]);
    assert_eq!(code, Some(101), "{said}");
    assert!(said.contains("1 passed; 1 failed"), "{said}");
    // Each finding points at the call that it is about.
    let source = fs::read_to_string(Path::new(ROOT).join("tests/external/tests/table.rs")).unwrap();
    let at = |call: &str| {
        let (line, text) = source.lines().enumerate().find(|(_, it)| it.contains(call)).unwrap();
        format!("--> tests/table.rs:{}:{}", line + 1, text.find(call).unwrap() + 1)
    };
    for (rule, call) in [
        ("fail[missing-listener]: 443/tcp", at("allow(port)")),
        ("fail[unlisted-listener]: 80/tcp", at("Spec::image(")),
    ] {
        let told = said.split(rule).nth(1).unwrap_or_else(|| panic!("no {rule}:\n{said}"));
        assert!(told.lines().nth(1).unwrap().contains(&call), "{call} is not in:\n{told}");
    }
}

#[test]
fn its_assertions_hold_or_tell_the_whole_story() {
    let (code, said) = test("assertion", &["--skip", "red"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("6 passed; 0 failed"), "{said}");

    let (code, said) = test("assertion", &["red"]);
    assert_eq!(code, Some(101), "{said}");
    assert!(said.contains("0 passed; 3 failed"), "{said}");
    for part in [
        "Error: FAILED: ",
        "fail[unlisted-listener]: 80/tcp",
        "fail[wrong-process]: 80/tcp",
        "error: `80/tpc` is not a port",
        "--> tests/assertion.rs:",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

/// A test with libtest's own `main` has a reaper, too.
#[test]
fn its_assertions_leave_nothing_even_if_they_are_killed() {
    let built = cargo_test("assertion").args(["--no-run", "--message-format=json"]).output();
    let built = String::from_utf8(built.unwrap().stdout).unwrap();
    let messages = built.lines().map(|line| serde_json::from_str(line).unwrap());
    let executable = messages
        .filter(|message: &serde_json::Value| message["target"]["name"] == "assertion")
        .find_map(|message| Some(message["executable"].as_str()?.to_owned()))
        .unwrap();
    let mut killed = Command::new(executable)
        .args(["by_a_scout", "--exact"])
        .env("PORTLID_FIXTURE", engine::fixture(&["80/tcp"]))
        .current_dir(&external().0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (pid, begun) = (killed.id(), Instant::now());
    let wait_until = |is_so: &dyn Fn(&[String]) -> bool| loop {
        let made = engine::made_by(pid);
        if is_so(&made) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{made:?}");
        thread::sleep(Duration::from_millis(20));
    };
    let is_container = |made: &&String| made.starts_with("container");
    wait_until(&|made| made.iter().filter(is_container).count() == 2);
    killed.kill().unwrap();
    wait_until(&|made| made.is_empty());
    killed.wait().unwrap();
}
