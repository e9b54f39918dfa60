//! The script that gets portlid, against releases on 127.0.0.1.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use sha2::{Digest, Sha256};

use super::{Ended, Job, PORTLID};

const ASSET: &str =
    if cfg!(target_arch = "aarch64") { "portlid-linux-aarch64" } else { "portlid-linux-x86_64" };
/// Says which version it is, and that it was run.
const EXECUTABLE: &str = "#!/bin/sh\ntouch executed\necho portlid 9.8.7\n";
/// A `gh` that is too old to verify anything.
const OLD: &str = "exit 1";

/// Releases as GitHub has them.
struct Releases {
    address: String,
    files: BTreeMap<String, Vec<u8>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Releases {
    /// One release, in which all is right.
    fn new() -> Self {
        let files = BTreeMap::from([
            (ASSET.to_owned(), EXECUTABLE.as_bytes().to_vec()),
            ("SHA256SUMS".to_owned(), sums(EXECUTABLE).into_bytes()),
            ("portlid.sigstore.jsonl".to_owned(), b"{}\n".to_vec()),
        ]);
        Self { address: String::new(), files, requests: Arc::default() }
    }

    fn with(mut self, name: &str, content: &str) -> Self {
        self.files.insert(name.to_owned(), content.as_bytes().to_vec());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.files.remove(name).unwrap();
        self
    }

    /// Serves until the test ends.
    fn start(mut self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.address = format!("http://{}/releases", listener.local_addr().unwrap());
        let (files, requests) = (self.files.clone(), Arc::clone(&self.requests));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who hangs up early is no concern of the server's.
                drop(answer(&stream, &files, &requests));
            }
        });
        self
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Runs the script against them, with no usable `gh`.
    fn install(&self, version: &str) -> (Job, Ended) {
        self.install_in(version, Job::new().program("gh", OLD))
    }

    fn install_in(&self, version: &str, job: Job) -> (Job, Ended) {
        let job = job.env("PORTLID_VERSION", version).env("PORTLID_RELEASES", &self.address);
        let ended = job.run("install");
        (job, ended)
    }
}

fn sums(content: &str) -> String {
    format!("{:x}  other\n{:x}  {ASSET}\n", Sha256::digest("x"), Sha256::digest(content))
}

fn answer(
    mut stream: &TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    requests.lock().unwrap().push(path.to_owned());
    let file = path.strip_prefix("/releases/download/v9.8.7/").and_then(|name| files.get(name));
    let (status, header, body) = match (path, file) {
        ("/releases/latest", _) => ("302 Found", "Location: /releases/tag/v9.8.7", &b""[..]),
        ("/releases/tag/v9.8.7", _) => ("200 OK", "X-Page: of the release", &b"a page"[..]),
        (_, Some(content)) => ("200 OK", "X-File: of the release", content.as_slice()),
        (_, None) => ("404 Not Found", "X-Nothing: here", &b"none"[..]),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{header}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(if method == "HEAD" { b"" } else { body })
}

/// Asserts that it got the executable of v9.8.7, and says where.
#[track_caller]
fn got((job, ended): &(Job, Ended)) {
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ended.outputs["version"], "v9.8.7", "{ended}");
    let path = &ended.outputs["portlid"];
    assert!(path.starts_with(job.folder.path().join("temp").to_str().unwrap()), "{ended}");
    assert_eq!(fs::read_to_string(path).unwrap(), EXECUTABLE);
    assert!(job.work().join("executed").exists());
    assert_eq!(ended.commands(), Vec::<&str>::new(), "{ended}");
}

/// Asserts that it refused, in these words, told nothing, and ran nothing.
#[track_caller]
fn refused((job, ended): &(Job, Ended), code: i32, because: &str) {
    assert_eq!(ended.code, Some(code), "{ended}");
    assert_eq!(ended.outputs, BTreeMap::new(), "{ended}");
    assert!(!job.work().join("executed").exists(), "{ended}");
    assert!(!job.work().join("pwned").exists(), "{ended}");
    let commands = ended.commands();
    assert_eq!(commands.len(), 1, "{ended}");
    assert!(commands[0].starts_with("::error title=portlid::"), "{ended}");
    assert!(commands[0].contains(because), "{because:?} is not in\n{ended}");
}

#[test]
fn what_its_checksum_is_right_for_is_installed() {
    let releases = Releases::new().start();
    for version in ["v9.8.7", "9.8.7", "latest"] {
        got(&releases.install(version));
    }
    // As `sha256sum --binary` writes it.
    let binary = sums(EXECUTABLE).replace(&format!("  {ASSET}"), &format!(" *{ASSET}"));
    got(&Releases::new().with("SHA256SUMS", &binary).start().install("v9.8.7"));
}

#[test]
fn the_default_is_the_version_of_the_action() {
    let releases = Releases::new().start();
    refused(&releases.install(""), 3, "is there such a release");
    let wanted = format!("/releases/download/v{}/SHA256SUMS", env!("CARGO_PKG_VERSION"));
    assert_eq!(releases.requests(), [wanted]);
}

#[test]
fn nothing_is_run_that_the_checksum_is_not_for() {
    for (releases, because) in [
        (
            Releases::new().with(ASSET, "#!/bin/sh\ntouch executed\n"),
            "is not what its SHA256SUMS says",
        ),
        (Releases::new().with(ASSET, ""), "is not what its SHA256SUMS says"),
        (Releases::new().without("SHA256SUMS"), "cannot get SHA256SUMS"),
        (Releases::new().without(ASSET), "cannot get portlid-linux-"),
        (Releases::new().with("SHA256SUMS", ""), "has no line, or several"),
        (
            Releases::new().with("SHA256SUMS", "<html>an error page</html>"),
            "has no line, or several",
        ),
        (Releases::new().with("SHA256SUMS", &format!("  {ASSET}\n")), "has no line, or several"),
        (Releases::new().with("SHA256SUMS", &sums("x").repeat(2)), "has no line, or several"),
        (
            Releases::new().with("SHA256SUMS", &sums(EXECUTABLE).replace(ASSET, "portlid-linux")),
            "has no line, or several",
        ),
    ] {
        refused(&releases.start().install("v9.8.7"), 3, because);
    }
}

/// An old release under a new name, checksum and all.
#[test]
fn another_version_than_was_asked_for_is_refused() {
    let old = "#!/bin/sh\necho portlid 9.8.6\n";
    let releases = Releases::new().with(ASSET, old).with("SHA256SUMS", &sums(old)).start();
    refused(&releases.install("v9.8.7"), 3, "says that it is portlid\\ 9.8.6");
    let broken = "#!/bin/sh\nexit 1\n";
    let releases = Releases::new().with(ASSET, broken).with("SHA256SUMS", &sums(broken)).start();
    refused(&releases.install("v9.8.7"), 3, "does not run here");
}

#[test]
fn where_there_is_gh_the_attestation_counts_too() {
    // Takes what it was called with, and the bundle.
    let verifies = "echo \"$@\" >>called; case $* in *--help*) ;; *) cat \"$5\" >>called ;; esac";
    let refuses = "case $* in *--help*) ;; *) exit 1 ;; esac";
    let releases = Releases::new().start();
    let (job, ended) = releases.install_in("v9.8.7", Job::new().program("gh", verifies));
    let called = fs::read_to_string(job.work().join("called")).unwrap();
    let calls: Vec<&str> = called.lines().collect();
    assert!(calls[1].starts_with("attestation verify "), "{called}");
    assert!(
        calls[1].ends_with(
            "/portlid.sigstore.jsonl --repo portlid/portlid \
             --signer-workflow portlid/portlid/.github/workflows/release.yml"
        ),
        "{called}"
    );
    assert_eq!(calls[2], "{}", "{called}");
    got(&(job, ended));
    refused(
        &releases.install_in("v9.8.7", Job::new().program("gh", refuses)),
        3,
        "cannot be verified",
    );
    let without = Releases::new().without("portlid.sigstore.jsonl").start();
    refused(
        &without.install_in("v9.8.7", Job::new().program("gh", verifies)),
        3,
        "cannot get the attestation",
    );
}

#[test]
fn other_machines_are_refused_before_anything_is_downloaded() {
    for (system, machine) in [("Linux", "riscv64"), ("Linux", "i686"), ("Darwin", "arm64")] {
        let releases = Releases::new().start();
        let uname = format!("[ \"$1\" = -s ] && echo {system} || echo {machine}");
        let job = Job::new().program("gh", OLD).program("uname", &uname);
        refused(&releases.install_in("v9.8.7", job), 2, "there is no portlid for");
        assert_eq!(releases.requests(), Vec::<String>::new());
    }
}

#[test]
fn what_is_no_version_is_never_asked_for() {
    let releases = Releases::new().start();
    for version in [
        "v9.8",
        "main",
        "../../../evil/releases/download/v9.8.7",
        "v9.8.7/../v9.8.6",
        "v9.8.7 ",
        "v9.8.7\nportlid=/bin/true",
        "$(touch pwned)",
        "v9.8.7;touch pwned",
        "::set-output name=portlid::/bin/true",
        "##[error]v9.8.7",
        "##[error]v9.8.7\nx",
        "v9.8.7%0A::error::x",
    ] {
        refused(&releases.install(version), 2, "is no version");
    }
    assert_eq!(releases.requests(), Vec::<String>::new());
}

#[test]
fn releases_that_do_not_answer_are_no_pass() {
    let gone = Releases { address: "http://127.0.0.1:1/releases".to_owned(), ..Releases::new() };
    refused(&gone.install("v9.8.7"), 3, "cannot get SHA256SUMS");
    refused(&gone.install("latest"), 3, "cannot find out the latest release");
    // A server that knows no latest release answers with a page.
    let page = Releases { address: String::new(), ..Releases::new() }.start();
    let odd = Releases { address: format!("{}/tag", page.address), ..Releases::new() };
    refused(&odd.install("latest"), 3, "cannot find out the latest release");
}

#[test]
fn one_that_is_there_is_taken_as_it_is() {
    let releases = Releases::new().start();
    let (_, ended) = releases.install(&format!("path:{PORTLID}"));
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ended.outputs["portlid"], PORTLID);
    assert_eq!(ended.outputs["version"], format!("path:{PORTLID}"));
    // What was an artifact has lost its mode.
    let job = Job::new().program("gh", OLD).file("a b/portlid", EXECUTABLE);
    let (job, ended) = releases.install_in("path:a b/portlid", job);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.outputs["portlid"].starts_with(job.folder.path().to_str().unwrap()), "{ended}");
    let mut installed = std::process::Command::new(&ended.outputs["portlid"]);
    assert!(installed.current_dir(job.work()).output().unwrap().status.success());
    let job = Job::new().file("x\nportlid=evil", EXECUTABLE);
    refused(&releases.install_in("path:x\nportlid=evil", job), 2, "there is no file");
    for path in ["nowhere", "", "specs", "$(touch pwned)", "x\nportlid=/bin/true"] {
        refused(&releases.install(&format!("path:{path}")), 2, "there is no file");
    }
    assert_eq!(releases.requests(), Vec::<String>::new());
}
