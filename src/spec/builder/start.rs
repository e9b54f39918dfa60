//! What a subject and a companion have in common: what they are, how they are started, when they
//! are ready.

use std::{fmt, time::Duration};

use super::lines::{Call, Lines};
use crate::spec::{mask::masked, scalar::scalar};

/// The keys that both can have.
#[derive(Clone)]
pub(super) struct Start {
    /// The key that says what it is.
    kind: &'static str,
    /// The value of that key, or of `context` below `build`.
    what: String,
    pub(super) call: Call,
    pub(super) build: Lines,
    pub(super) args: Lines,
    run: Lines,
    pub(super) env: Lines,
    pub(super) volumes: Lines,
    pub(super) tmpfs: Lines,
    pub(super) cap_add: Lines,
    pub(super) ready: Lines,
    pub(super) http: Lines,
}

impl Start {
    pub(super) fn new(kind: &'static str, what: String, call: Call) -> Self {
        Self {
            kind,
            what,
            call,
            build: Lines::default(),
            args: Lines::default(),
            run: Lines::default(),
            env: Lines::default(),
            volumes: Lines::default(),
            tmpfs: Lines::default(),
            cap_add: Lines::default(),
            ready: Lines::default(),
            http: Lines::default(),
        }
    }

    /// What it is, as it was named.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// `image`, `build`, `archive` or `container`.
    pub(super) fn subject(&self) -> Lines {
        let (mut lines, mut build) = (Lines::default(), Lines::default());
        match self.kind {
            "build" => build.text("context", &self.what, self.call),
            kind => lines.text(kind, &self.what, self.call),
        }
        build.append(&self.build);
        build.below("args", &self.args);
        lines.below("build", &build);
        lines
    }

    /// The keys of `run`.
    pub(super) fn run(&self) -> Lines {
        let mut lines = self.run.clone();
        lines.below("env", &self.env);
        lines.below("volumes", &self.volumes);
        lines.below("tmpfs", &self.tmpfs);
        lines.below("cap_add", &self.cap_add);
        lines
    }

    /// The keys of `ready`.
    pub(super) fn ready(&self) -> Lines {
        let mut lines = self.ready.clone();
        lines.append(&self.http);
        lines
    }

    pub(super) fn text(&mut self, key: &str, text: &str, call: Call) {
        self.run.text(key, text, call);
    }

    pub(super) fn raw(&mut self, key: &str, value: &str, call: Call) {
        self.run.raw(key, value, call);
    }

    pub(super) fn words<T: Into<String>>(
        &mut self,
        key: &str,
        words: impl IntoIterator<Item = T>,
        call: Call,
    ) {
        let words: Vec<String> = words.into_iter().map(|word| scalar(&word.into())).collect();
        self.run.raw(key, &format!("[{}]", words.join(", ")), call);
    }

    /// The text of these keys without its secrets.
    pub(super) fn shown(&self) -> String {
        let mut lines = self.subject();
        lines.below("run", &self.run());
        lines.below("ready", &self.ready());
        let (text, _) = lines.into_text(self.call);
        masked(&text, &std::collections::HashSet::new())
    }
}

/// Values of `env` and `args` are secrets.
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// A duration in the words of the language, which knows nothing shorter than a millisecond.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_nanos().div_ceil(1_000_000))
}

/// The methods of everything that has a [`Start`]. `$so` is the beginning of an example.
macro_rules! start_methods {
    ($type:ident, $so:literal) => {
        impl $type {
            /// The Dockerfile, relative to the context: the key `dockerfile` below `build`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "context(\"images/web\").dockerfile(\"Dockerfile.prod\");")]
            /// ```
            #[track_caller]
            pub fn dockerfile(mut self, path: impl Into<String>) -> Self {
                self.start.build.text("dockerfile", &path.into(), Location::caller());
                self
            }

            /// The stage to build; the last without this: the key `target` below `build`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "context(\"images/web\").target(\"prod\");")]
            /// ```
            #[track_caller]
            pub fn target(mut self, stage: impl Into<String>) -> Self {
                self.start.build.text("target", &stage.into(), Location::caller());
                self
            }

            /// A build argument, whose value is kept secret: an entry of `args` below `build`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "context(\"images/web\").build_arg(\"NODE_ENV\", \"production\");")]
            /// ```
            #[track_caller]
            pub fn build_arg(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
                self.start.args.text(name.as_ref(), value.as_ref(), Location::caller());
                self
            }

            /// Replaces the image's command: the key `command`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").command([\"serve\", \"--port=80\"]);")]
            /// ```
            #[track_caller]
            pub fn command<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
                self.start.words("command", words, Location::caller());
                self
            }

            /// Replaces the image's entrypoint: the key `entrypoint`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").entrypoint([\"/app\"]);")]
            /// ```
            #[track_caller]
            pub fn entrypoint<T: Into<String>>(
                mut self,
                words: impl IntoIterator<Item = T>,
            ) -> Self {
                self.start.words("entrypoint", words, Location::caller());
                self
            }

            /// A variable of the environment: an entry of `env`. Its value is never printed.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").env(\"MODE\", \"production\");")]
            /// ```
            #[track_caller]
            pub fn env(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
                self.start.env.text(name.as_ref(), value.as_ref(), Location::caller());
                self
            }

            /// The user that it runs as, or `user:group`: the key `user`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").user(1000);")]
            /// ```
            #[track_caller]
            pub fn user(mut self, user: impl Display) -> Self {
                self.start.text("user", &user.to_string(), Location::caller());
                self
            }

            /// Its host name: the key `hostname`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").hostname(\"web\");")]
            /// ```
            #[track_caller]
            pub fn hostname(mut self, name: impl AsRef<str>) -> Self {
                self.start.text("hostname", name.as_ref(), Location::caller());
                self
            }

            /// Something of the working directory, read-only unless it ends with `:rw`: an item of
            /// `volumes`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").volume(\"./site:/srv\");")]
            /// ```
            #[track_caller]
            pub fn volume(mut self, volume: impl AsRef<str>) -> Self {
                self.start.volumes.item(volume.as_ref(), Location::caller());
                self
            }

            /// A folder in memory: an item of `tmpfs`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").tmpfs(\"/run\");")]
            /// ```
            #[track_caller]
            pub fn tmpfs(mut self, path: impl AsRef<str>) -> Self {
                self.start.tmpfs.item(path.as_ref(), Location::caller());
                self
            }

            /// A capability beyond the engine's default: an item of `cap_add`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").cap_add(\"NET_ADMIN\");")]
            /// ```
            #[track_caller]
            pub fn cap_add(mut self, capability: impl AsRef<str>) -> Self {
                self.start.cap_add.item(capability.as_ref(), Location::caller());
                self
            }

            /// The memory that it may use, as `"512m"` or in bytes: the key `memory`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").memory(\"1g\");")]
            /// ```
            #[track_caller]
            pub fn memory(mut self, size: impl Display) -> Self {
                self.start.text("memory", &size.to_string(), Location::caller());
                self
            }

            /// How many processes and threads it may have: the key `pids`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").pids(64);")]
            /// ```
            #[track_caller]
            pub fn pids(mut self, most: u32) -> Self {
                self.start.raw("pids", &most.to_string(), Location::caller());
                self
            }

            /// It is ready once this port has a socket: the key `port` below `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            /// # use portlid::Port;
            #[doc = concat!($so, "image(\"web:1\").ready_port(Port::tcp(80));")]
            /// ```
            #[track_caller]
            pub fn ready_port(mut self, port: impl Display) -> Self {
                self.start.ready.text("port", &port.to_string(), Location::caller());
                self
            }

            /// It is ready once a line of its log matches: the key `log` below `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").ready_log(\"^listening on\");")]
            /// ```
            #[track_caller]
            pub fn ready_log(mut self, regex: impl AsRef<str>) -> Self {
                self.start.ready.text("log", regex.as_ref(), Location::caller());
                self
            }

            /// It is ready once the image's own health check says so: `health: true` below `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").ready_health();")]
            /// ```
            #[track_caller]
            pub fn ready_health(mut self) -> Self {
                self.start.ready.raw("health", "true", Location::caller());
                self
            }

            /// It is ready once a request is answered with this status: the key `http` below
            /// `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").ready_http(8080, \"/health\", 200);")]
            /// ```
            #[track_caller]
            pub fn ready_http(mut self, port: u16, path: impl AsRef<str>, status: u16) -> Self {
                let mut keys = Lines::default();
                keys.raw("port", &port.to_string(), Location::caller());
                keys.text("path", path.as_ref(), Location::caller());
                keys.raw("status", &status.to_string(), Location::caller());
                self.start.http.below("http", &keys);
                self
            }

            /// It is ready once it has ended with this code: the key `exit` below `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            #[doc = concat!($so, "image(\"web:1\").ready_exit(0);")]
            /// ```
            #[track_caller]
            pub fn ready_exit(mut self, code: u8) -> Self {
                self.start.ready.raw("exit", &code.to_string(), Location::caller());
                self
            }

            /// How long it may take to be ready; a minute without this: the key `within` below
            /// `ready`.
            ///
            /// ```
            /// # use portlid::{Spec, spec::Need};
            /// # use std::time::Duration;
            #[doc = concat!($so, "image(\"web:1\").ready_within(Duration::from_secs(10));")]
            /// ```
            #[track_caller]
            pub fn ready_within(mut self, time: Duration) -> Self {
                self.start.ready.text("within", &milliseconds(time), Location::caller());
                self
            }
        }
    };
}
pub(super) use start_methods;
