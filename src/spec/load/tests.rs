//! Real files and folders: what is found, what is merged, and what is refused.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::{
    rule::{Level, Rule},
    socket::Port,
    spec::{
        Loaded, Problem, Scan, Subject,
        load::load_in,
        model::{PublishMode, ReadyWhen},
        problem::render,
        testing::{self, environment},
    },
};

const OK: &str = "image: x\nexpose: []\n";

/// A repository in a folder of its own.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(repository.root().join(".git")).unwrap();
        for (path, text) in files {
            repository.write(path, text);
        }
        repository
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self, paths: &[&str]) -> Loaded {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        load_in(&self.root(), &paths, &environment)
    }

    /// The files of the specs that are found below `path`, all of them right.
    #[track_caller]
    fn found(&self, path: &str) -> Vec<String> {
        let loaded = self.load(&[path]);
        assert_eq!(lines(&loaded), [""; 0]);
        loaded.specs.iter().map(|spec| shown(&spec.source.file)).collect()
    }

    /// Checks the problems of what is below `specs`, each as `FILE:LINE:COLUMN MESSAGE`.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(lines(&self.load(&["specs"])), expected);
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn lines(loaded: &Loaded) -> Vec<String> {
    let line = |it: &Problem| format!("{}:{}", shown(&it.file), testing::line(it));
    loaded.problems.iter().map(line).collect()
}

#[test]
fn folders_are_searched_in_order() {
    let repository = Repository::new(&[
        ("specs/b.yaml", OK),
        ("specs/a.yml", OK),
        ("specs/deep/er/c.YAML", OK),
        ("specs/_draft.yaml", "nonsense"),
        ("specs/.hidden.yaml", "nonsense"),
        ("specs/_old/d.yaml", "nonsense"),
        ("specs/.cache/e.yaml", "nonsense"),
        ("specs/notes.txt", "nonsense"),
    ]);
    let all = ["specs/a.yml", "specs/b.yaml", "specs/deep/er/c.YAML"];
    assert_eq!(repository.found("specs"), all);
    assert_eq!(repository.found("."), all);
    assert_eq!(repository.found("specs/deep"), ["specs/deep/er/c.YAML"]);
    // The order of the arguments counts, and nothing is read twice.
    let loaded = repository.load(&["specs/deep", "specs/b.yaml", "specs", "./specs/../specs"]);
    let files: Vec<_> = loaded.specs.iter().map(|spec| shown(&spec.source.file)).collect();
    assert_eq!(files, ["specs/deep/er/c.YAML", "specs/b.yaml", "specs/a.yml"]);
    assert_eq!(loaded.files, 3);
    assert_eq!(loaded.specs[0].name, "c");
}

#[test]
fn what_is_named_is_read_whatever_it_is_called() {
    let repository =
        Repository::new(&[("specs/_draft.yaml", OK), (".x.yaml", OK), ("spec.txt", OK)]);
    for path in ["specs/_draft.yaml", ".x.yaml", "spec.txt"] {
        assert_eq!(repository.found(path), [path]);
    }
    let loaded = repository.load(&["nope.yaml", "specs/nope"]);
    assert_eq!(
        lines(&loaded),
        [
            "nope.yaml:this cannot be found: no such file or directory",
            "specs/nope:this cannot be found: no such file or directory",
        ],
    );
    assert_eq!(loaded.files, 0);
}

#[test]
fn build_contexts_hold_other_yaml() {
    let repository = Repository::new(&[
        ("specs/images/web/Dockerfile", "FROM scratch"),
        ("specs/images/web/config.yaml", "image: not a spec\n"),
        ("specs/images/web/sub/spec.yaml", "image: x\n'expose' : []\n"),
        ("specs/images/web/sub/nested.yaml", "services:\n  web:\n    expose: [80]\n"),
        ("specs/images/api/Containerfile", "FROM scratch"),
        ("specs/images/api/a.yml", "x: 1\n"),
        ("specs/web.yaml", OK),
    ]);
    assert_eq!(repository.found("specs"), ["specs/images/web/sub/spec.yaml", "specs/web.yaml"]);
    let passed_over: Vec<_> =
        repository.load(&["specs"]).passed_over.iter().map(|path| shown(path)).collect();
    assert_eq!(
        passed_over,
        [
            "specs/images/api/a.yml",
            "specs/images/web/config.yaml",
            "specs/images/web/sub/nested.yaml",
        ],
    );
    // Named, it is a spec.
    assert_eq!(repository.load(&["specs/images/api/a.yml"]).problems.len(), 3);
}

#[test]
fn only_regular_files_in_utf_8_and_of_a_sane_size_are_read() {
    let repository = Repository::new(&[]);
    repository.write("specs/big.yaml", " ".repeat(256 * 1024 + 1));
    repository.write("specs/latin.yaml", b"image: x\n# \xe9\n");
    repository.write("specs/utf-16.yaml", b"\xff\xfei\0m\0a\0g\0e\0:\0 \0x\0\n\0");
    repository.write("specs/folder.yaml/x.txt", "");
    let root = repository.root();
    let _socket = UnixListener::bind(root.join("specs/socket.yaml")).unwrap();
    symlink("/dev/null", root.join("specs/device.yaml")).unwrap();
    symlink("nowhere", root.join("specs/gone.yaml")).unwrap();
    repository.check(&[
        "specs/device.yaml:this link leads out of the repository",
        "specs/folder.yaml:this is a folder, not a spec",
        "specs/gone.yaml:this link cannot be followed: no such file or directory",
        "specs/big.yaml:this is larger than 256 KiB",
        "specs/latin.yaml:this is not UTF-8 (line 2)",
        "specs/socket.yaml:this is no regular file, not a spec",
        "specs/utf-16.yaml:this is not UTF-8 (line 1)",
    ]);
    let loaded = repository.load(&["/dev/null", "/dev/zero"]);
    assert_eq!(
        lines(&loaded),
        [
            "/dev/null:this is no regular file, not a spec",
            "/dev/zero:this is no regular file, not a spec",
        ],
    );
}

#[test]
fn a_fifo_does_not_hang() {
    let repository = Repository::new(&[("specs/a.yaml", OK)]);
    let fifo = repository.root().join("specs/fifo.yaml");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    repository.check(&["specs/fifo.yaml:this is no regular file, not a spec"]);
}

/// Whoever named the wrong folder is told so, and soon: none of the files is read.
#[test]
fn more_files_than_anybody_writes_are_no_specs() {
    let repository = Repository::new(&[("specs/0.yaml", "what is read is a problem")]);
    let root = repository.root().join("specs");
    for file in 1..=10_000 {
        fs::File::create(root.join(format!("{file}.yaml"))).unwrap();
    }
    let loaded = repository.load(&["specs"]);
    let [problem] = lines(&loaded).try_into().unwrap();
    assert!(problem.ends_with(":more than 10,000 spec files"), "{problem}");
    assert!(loaded.specs.is_empty());
}

#[test]
fn links_stay_within_the_repository() {
    let outside = Repository::new(&[("x/out.yaml", OK)]);
    let repository = Repository::new(&[("specs/a.yaml", OK), ("shared/b.yaml", OK)]);
    let root = repository.root();
    symlink("../shared/b.yaml", root.join("specs/b.yaml")).unwrap();
    symlink("../shared", root.join("specs/more")).unwrap();
    symlink("..", root.join("specs/circle")).unwrap();
    assert_eq!(repository.found("specs"), ["specs/a.yaml", "specs/b.yaml"]);
    symlink(outside.root().join("x"), root.join("specs/out")).unwrap();
    symlink(outside.root().join("x/out.yaml"), root.join("specs/out.yaml")).unwrap();
    symlink(outside.root().join("x/out.yaml"), root.join("specs/_defaults.yaml")).unwrap();
    repository.check(&[
        "specs/out:this link leads out of the repository",
        "specs/out.yaml:this link leads out of the repository",
        "specs/_defaults.yaml:this link leads out of the repository",
    ]);
}

#[test]
fn byte_order_mark_and_line_ends() {
    let repository = Repository::new(&[("specs/a.yaml", "\u{feff}image: x\r\nexpose: [0]\r\n")]);
    repository.check(&["specs/a.yaml:2:10 `0` is not a port: `0` is not a number within 1-65535"]);
    repository.write("specs/a.yaml", "\u{feff}imag: x\nexpose: []\n");
    repository.check(&["specs/a.yaml:1:1 unknown key `imag`"]);
}

#[test]
fn defaults_are_merged_from_the_root_down() {
    let repository = Repository::new(&[
        (
            "_defaults.yaml",
            "scan: off\nwatch: 9s\nrun: {memory: 1g, pids: 7, env: {A: root, B: root}, tmpfs: [/a]}\n\
             rules: {flapping: warn, silent-expose: off}\nready: {log: up, within: 5s}\n",
        ),
        (
            "specs/_defaults.yaml",
            "scan: listed\nrun: {pids: 8, env: {A: folder, C: folder}}\nrules: {silent-expose: note}\n",
        ),
        (
            "specs/web.yaml",
            "image: x\nexpose: []\nrun: {env: {A: spec}, tmpfs: [/b]}\nready: {port: 80}\n",
        ),
        ("other/x.yaml", OK),
    ]);
    let loaded = repository.load(&["specs", "other"]);
    assert_eq!(lines(&loaded), [""; 0]);
    let [web, other] = loaded.specs.as_slice() else { panic!("{loaded:?}") };
    let env: Vec<_> = web.run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=spec", "B=root", "C=folder"]);
    assert_eq!((web.run.memory, web.run.pids), (1 << 30, 8));
    assert_eq!((web.run.tmpfs.as_slice(), web.scan), (["/b".to_owned()].as_slice(), Scan::Listed));
    assert_eq!(web.watch.as_secs(), 9);
    assert_eq!(web.level(Rule::Flapping), Level::Warn);
    assert_eq!(web.level(Rule::SilentExpose), Level::Note);
    // The spec's condition replaces the defaults' one; `within` is still theirs.
    assert!(matches!(web.ready.when, ReadyWhen::Port(port) if port == Port::tcp(80)));
    assert_eq!(web.ready.within.as_secs(), 5);
    assert!(matches!(other.ready.when, ReadyWhen::Log(_)));
    assert_eq!(other.scan, Scan::Off);
}

#[test]
fn defaults_for_starting_mean_nothing_for_a_running_container() {
    let repository = Repository::new(&[
        (
            "specs/_defaults.yaml",
            "run: {memory: 1g, publish: none}\nplatform: linux/amd64\nwatch: 1s\n",
        ),
        ("specs/web.yaml", "container: web\nexpose: []\n"),
    ]);
    let loaded = repository.load(&["specs"]);
    assert_eq!(lines(&loaded), [""; 0]);
    assert_eq!(loaded.specs[0].platform, None);
    assert_eq!(loaded.specs[0].run.publish, PublishMode::All);
    assert_eq!(loaded.specs[0].watch.as_secs(), 1);
}

#[test]
fn a_problem_of_a_defaults_file_is_reported_once_and_there() {
    let repository = Repository::new(&[
        (
            "specs/_defaults.yaml",
            "image: x\nrun: {pids: 0}\nscann: off\nnever: [22/tcpp]\nscan: off\nscan: full\n",
        ),
        ("specs/a.yaml", OK),
        ("specs/b.yaml", OK),
    ]);
    let expected = [
        "specs/_defaults.yaml:1:1 unknown key `image`",
        "specs/_defaults.yaml:2:13 `0` is out of range for `pids`",
        "specs/_defaults.yaml:3:1 unknown key `scann`",
        "specs/_defaults.yaml:4:9 `22/tcpp` is not a port: `tcpp` is not a protocol",
        "specs/_defaults.yaml:6:1 the key `scan` is there twice",
    ];
    repository.check(&expected);
    // Named on the command line it is checked, and is no spec.
    let loaded = repository.load(&["specs/_defaults.yaml"]);
    assert_eq!((lines(&loaded), loaded.files), (expected.map(str::to_owned).to_vec(), 0));
    let hint = loaded.problems[0].hint.as_deref();
    assert_eq!(hint, Some("each spec says for itself what it looks at and exposes"));
}

#[test]
fn a_defaults_file_that_would_not_be_read_is_a_problem() {
    let repository =
        Repository::new(&[("specs/_defaults.yml", "never: [22]\n"), ("specs/a.yaml", OK)]);
    repository.check(&["specs/_defaults.yml:this is not read: it has another ending"]);
    let repository = Repository::new(&[("specs/_defaults.yaml", ""), ("specs/a.yaml", OK)]);
    repository.check(&["specs/_defaults.yaml:1:1 the file is empty"]);
}

#[test]
fn what_is_never_allowed_needs_a_reason_and_an_end() {
    let repository = Repository::new(&[
        ("_defaults.yaml", "never: [docker]\n"),
        ("specs/_defaults.yaml", "never:\n  - 22/tcp\n"),
        ("specs/a.yaml", "image: x\nexpose:\n  - 80\n  - ssh\n  - 2000-3000\n  - 22/udp\n"),
        (
            "specs/b.yaml",
            "image: x\nexpose:\n  - {port: 22, why: x}\n  - {port: 2375, why: x, until: 2020-01-01}\n",
        ),
        ("other/c.yaml", "image: x\nexpose: [22]\n"),
    ]);
    repository.check(&[
        "specs/a.yaml:4:5 `22/tcp` may not be allowed without `until` and `why`",
        "specs/a.yaml:5:5 `2000-3000/tcp` allows `2375/tcp`, which may not be without `until` and `why`",
        "specs/b.yaml:3:5 `22/tcp` may not be allowed without `until` and `why`",
    ]);
    assert_eq!(repository.found("other"), ["other/c.yaml"]);
    let shown = render(&repository.load(&["specs/b.yaml"]).problems, false);
    insta::assert_snapshot!(shown, @r"
    error: `22/tcp` may not be allowed without `until` and `why`
     --> specs/b.yaml:3:5
      |
    3 |   - {port: 22, why: x}
      |     ^^^^^^^^^^^^^^^^^^
      |
     ::: specs/_defaults.yaml:2:5
      |
    2 |   - 22/tcp
      |     ------ never allowed
      |
      = help: `specs/_defaults.yaml` says `never`: state `until`, or close the port

    1 problem in 1 file; nothing was started
    ");
}

#[test]
fn paths_are_held_within_bounds() {
    let repository = Repository::new(&[
        ("specs/site/index.html", ""),
        ("specs/app/Dockerfile", "FROM scratch"),
        ("specs/app/docker/Prod", "FROM scratch"),
        ("specs/pod/Containerfile", "FROM scratch"),
        ("src/Dockerfile", "FROM scratch"),
        ("empty/x", ""),
        ("dist/web.tar", ""),
    ]);
    let root = repository.root();
    symlink("/etc", root.join("specs/etc")).unwrap();
    symlink("/etc", root.join("specs/app/etc")).unwrap();
    for (subject, right) in [
        ("build: app", true),
        ("build: ../src", true),
        ("build: {context: app, dockerfile: docker/Prod}", true),
        ("build: pod", true),
        ("archive: ../dist/web.tar", true),
        ("image: x\nrun: {volumes: ['./site:/srv:ro', 'site/index.html:/x']}", true),
        ("build: nope", false),
        ("build: ../..", false),
        ("build: etc", false),
        ("build: ../empty", false),
        ("build: ../dist/web.tar", false),
        ("build: {context: app, dockerfile: Prod}", false),
        ("build: {context: app, dockerfile: etc/passwd}", false),
        ("build: {context: app, dockerfile: docker}", false),
        ("archive: ../dist", false),
        ("archive: etc/passwd", false),
        ("image: x\nrun: {volumes: ['../src:/srv']}", false),
        ("image: x\nrun: {volumes: ['etc:/srv']}", false),
        ("image: x\nrun: {volumes: ['nope:/srv']}", false),
        ("image: x\nneeds: {a: {image: x, volumes: ['../src:/srv']}}", false),
    ] {
        repository.write("specs/web.yaml", format!("{subject}\nexpose: []\n"));
        let loaded = repository.load(&["specs/web.yaml"]);
        assert_eq!(loaded.problems.is_empty(), right, "{subject}: {:?}", lines(&loaded));
        assert_eq!(loaded.problems.len() + loaded.specs.len(), 1, "{subject}");
    }
    repository.write("specs/web.yaml", "build: pod\nexpose: []\n");
    let Subject::Build(build) = repository.load(&["specs/web.yaml"]).specs.remove(0).subject else {
        panic!("no build");
    };
    assert_eq!(
        (build.context, build.dockerfile.as_str()),
        (root.join("specs/pod"), "Containerfile")
    );
    repository.write("specs/web.yaml", "build: etc\nexpose: []\nrun: {volumes: ['../src:/x']}\n");
    let expected = [
        "specs/web.yaml:1:8 `etc` lies outside of the repository",
        "specs/web.yaml:3:17 `../src:/x` lies outside of the spec's own folder",
    ];
    assert_eq!(lines(&repository.load(&["specs/web.yaml"])), expected);
}

#[test]
fn without_a_repository_the_current_folder_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (path, text) in [
        ("project/_defaults.yaml", "scan: off\n"),
        ("project/specs/a.yaml", "build: ../src\nexpose: []\n"),
        ("project/src/Dockerfile", ""),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    let load =
        |current: &str| load_in(&root.join(current), &[root.join("project/specs")], &environment);
    let inside = load("project");
    assert_eq!(lines(&inside), [""; 0]);
    assert_eq!(inside.specs[0].scan, Scan::Off);
    assert_eq!(inside.specs[0].source.file, Path::new("specs/a.yaml"));
    // From elsewhere the spec's own folder is all that it may use.
    let elsewhere = load("project/src");
    assert_eq!(elsewhere.problems.len(), 1);
    assert!(elsewhere.problems[0].message.ends_with("lies outside of the repository"));
}

#[test]
fn a_name_is_there_once() {
    let repository = Repository::new(&[
        ("specs/a/web.yaml", OK),
        ("specs/b/web.yaml", OK),
        ("specs/c/x.yaml", "image: x\nname: web\nexpose: [0]\n"),
        ("specs/d/y.yaml", OK),
    ]);
    repository.check(&[
        "specs/b/web.yaml:1:1 `web` is also the name of `specs/a/web.yaml`",
        "specs/c/x.yaml:2:7 `web` is also the name of `specs/a/web.yaml`",
        "specs/c/x.yaml:3:10 `0` is not a port: `0` is not a number within 1-65535",
    ]);
    assert_eq!(repository.load(&["specs"]).specs.len(), 2);
    repository.write("specs/a\u{1b}.yaml", OK);
    let found = lines(&repository.load(&["specs/a\u{1b}.yaml"]));
    assert_eq!(found, ["specs/a\u{1b}.yaml:1:1 the file's stem `a\\u{1b}` is not a name"]);
}

#[test]
fn problems_of_every_file_are_reported_at_once() {
    let repository = Repository::new(&[
        ("specs/a.yaml", "image: x\nexpose: [0]\n"),
        ("specs/b.yaml", "image: X\n"),
        ("specs/c.yaml", "image: [\n"),
    ]);
    let loaded = repository.load(&["specs"]);
    assert_eq!((loaded.problems.len(), loaded.specs.len(), loaded.files), (4, 0, 3));
    let shown = render(&loaded.problems, false);
    assert!(shown.ends_with("\n4 problems in 3 files; nothing was started\n"), "{shown}");
}
