//! Which engine to use.
//!
//! The client library's own defaults fall back to another daemon in silence, and a gate that looks
//! at the wrong daemon is worthless. So the choice is made here: `--engine`, else a non-empty
//! `DOCKER_HOST`, else the Docker CLI's context, else the first well-known socket that is there.
//! What was asked for is used or refused; nothing stands in for it.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{error::EngineError, ssh::Destination};
use crate::foreign::without_credentials;

/// An engine's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `unix://PATH`, `tcp://HOST:PORT`, `http://...`, `https://...` or `ssh://...`.
    pub url: String,
    /// Where it was named, for people.
    pub from: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, if it is spoken to over TLS.
    pub certificates: Option<PathBuf>,
}

impl Endpoint {
    /// The address without credentials.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.url.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                // What looks like credentials in a path is a part of it.
                _ if scheme == "unix" => self.url.clone(),
                Some((user, host)) if scheme == "ssh" => {
                    // A user's name is no secret; what follows its colon is.
                    let user = user.split(':').next().unwrap_or_default();
                    format!("{scheme}://{user}@{host}")
                }
                Some((_, host)) => format!("{scheme}://{host}"),
                None => self.url.clone(),
            },
            None => without_credentials(&self.url),
        }
    }
}

/// What the choice depends on, so that tests can set it.
#[derive(Debug)]
pub struct Environment<'a, V: Fn(&str) -> Option<String>> {
    /// An environment variable.
    pub variable: V,
    /// The user's home.
    pub home: Option<&'a Path>,
    /// The root of the file system.
    pub root: &'a Path,
    /// The user's id.
    pub uid: u32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one was asked for: it or none.
    Asked(Endpoint),
    /// Nobody asked for one; these sockets are there, the likeliest first. May be empty.
    Sockets {
        /// The sockets that are there.
        there: Vec<Endpoint>,
        /// Every place that was tried.
        tried: Vec<String>,
    },
}

impl<V: Fn(&str) -> Option<String>> Environment<'_, V> {
    /// Decides which engine to use.
    ///
    /// # Errors
    ///
    /// If what was asked for cannot be: an unknown scheme, or a context that is not there.
    pub fn find(&self, asked: Option<&str>) -> Result<Found, EngineError> {
        if let Some(url) = asked {
            return self.endpoint(url, "`--engine`").map(Found::Asked);
        }
        if let Some(url) = self.set("DOCKER_HOST") {
            return self.endpoint(&url, "`DOCKER_HOST`").map(Found::Asked);
        }
        if let Some((name, from)) = self.context_name()?
            && name != "default"
        {
            return self.context(&name, &from).map(Found::Asked);
        }
        Ok(self.sockets())
    }

    /// A variable that is set to something.
    fn set(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn endpoint(&self, url: &str, from: &str) -> Result<Endpoint, EngineError> {
        let wrong = |why: &str| EngineError::Endpoint {
            endpoint: Endpoint { url: url.to_owned(), from: String::new(), certificates: None }
                .shown(),
            from: from.to_owned(),
            why: why.to_owned(),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        if rest.is_empty() {
            return Err(wrong("nothing follows the scheme"));
        }
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        if scheme == "ssh" && user.contains(':') {
            // It would stand in the arguments of `ssh`, for every user of the machine to read.
            return Err(wrong("`ssh` takes no password in a URL; use a key or an agent"));
        }
        let certificates = match scheme {
            "ssh" => Destination::parse(url).map(|_| None).map_err(wrong)?,
            "unix" | "http" => None,
            "https" => Some(self.certificates()),
            "tcp" => self.set("DOCKER_TLS_VERIFY").map(|_| self.certificates()),
            _ => return Err(wrong("its scheme is none of unix, tcp, http, https, ssh")),
        };
        Ok(Endpoint { url: url.to_owned(), from: from.to_owned(), certificates })
    }

    /// Where the Docker CLI keeps its configuration.
    fn docker_config(&self) -> PathBuf {
        self.set("DOCKER_CONFIG").map_or_else(
            || self.home.unwrap_or_else(|| Path::new("/")).join(".docker"),
            PathBuf::from,
        )
    }

    fn certificates(&self) -> PathBuf {
        self.set("DOCKER_CERT_PATH").map_or_else(|| self.docker_config(), PathBuf::from)
    }

    fn context_name(&self) -> Result<Option<(String, String)>, EngineError> {
        if let Some(name) = self.set("DOCKER_CONTEXT") {
            return Ok(Some((name, "`DOCKER_CONTEXT`".to_owned())));
        }
        let file = self.docker_config().join("config.json");
        // One that is not there, or is somebody else's, asks for nothing.
        let Ok(text) = std::fs::read(&file) else { return Ok(None) };
        Ok(current_context(&text, &file)?
            .map(|name| (name, "the current context of the Docker CLI".to_owned())))
    }

    fn context(&self, name: &str, from: &str) -> Result<Endpoint, EngineError> {
        let wrong = |why: String| EngineError::Endpoint {
            endpoint: name.to_owned(),
            from: from.to_owned(),
            why,
        };
        // The CLI names a context's folder by the hash of its name.
        let folder = Sha256::digest(name.as_bytes())
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let contexts = self.docker_config().join("contexts");
        let file = contexts.join("meta").join(&folder).join("meta.json");
        let text = std::fs::read(&file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                wrong("there is no such context; `docker context ls` lists them".to_owned())
            }
            _ => wrong(format!("its file cannot be read: {error}")),
        })?;
        let url = host_of_context(&text).map_err(wrong)?;
        let mut endpoint = self.endpoint(&url, &format!("context `{name}`"))?;
        let certificates = contexts.join("tls").join(&folder).join("docker");
        if certificates.is_dir() {
            endpoint.certificates = Some(certificates);
        }
        Ok(endpoint)
    }

    /// The sockets at the places where engines put them.
    fn sockets(&self) -> Found {
        let runtime = self
            .set("XDG_RUNTIME_DIR")
            .map_or_else(|| PathBuf::from(format!("/run/user/{}", self.uid)), PathBuf::from);
        let mut places = vec![
            PathBuf::from("/var/run/docker.sock"),
            runtime.join("docker.sock"),
            PathBuf::from("/run/podman/podman.sock"),
            runtime.join("podman/podman.sock"),
        ];
        if let Some(home) = self.home {
            places.insert(2, home.join(".docker/run/docker.sock"));
            places.insert(3, home.join(".docker/desktop/docker.sock"));
        }
        let tried = places.iter().map(|place| format!("`{}`", place.display())).collect();
        let there = places
            .into_iter()
            .filter(|place| self.root.join(place.strip_prefix("/").unwrap_or(place)).exists())
            .map(|place| Endpoint {
                url: format!("unix://{}", place.display()),
                from: "a well-known socket".to_owned(),
                certificates: None,
            })
            .collect();
        Found::Sockets { there, tried }
    }
}

/// The context that the text of the Docker CLI's `config.json` names, if it names one.
pub(super) fn current_context(text: &[u8], file: &Path) -> Result<Option<String>, EngineError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        current_context: Option<String>,
    }
    let config: Config = serde_json::from_slice(text).map_err(|error| EngineError::Endpoint {
        endpoint: "the current context".to_owned(),
        from: format!("`{}`", file.display()),
        why: format!("the file cannot be read: {error}"),
    })?;
    Ok(config.current_context.filter(|name| !name.is_empty()))
}

/// The endpoint's host in the text of a context's `meta.json`; the error says what is wrong.
pub(super) fn host_of_context(text: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: HashMap<String, Host>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Host {
        host: Option<String>,
    }
    let meta: Meta = serde_json::from_slice(text)
        .map_err(|error| format!("its file cannot be read: {error}"))?;
    let docker = meta.endpoints.get("docker").and_then(|endpoint| endpoint.host.clone());
    docker.ok_or_else(|| "it names no Docker endpoint".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs};

    use super::{Environment, Found};

    /// The URL that is chosen in an environment of these variables and files, or why none is.
    fn chosen(asked: Option<&str>, variables: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let home = root.path().join("home");
        let variables: HashMap<String, String> =
            variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment = Environment {
            variable: |name: &str| variables.get(name).cloned(),
            home: Some(&home),
            root: root.path(),
            uid: 1000,
        };
        match environment.find(asked) {
            Ok(Found::Asked(endpoint)) => endpoint.url,
            Ok(Found::Sockets { there, .. }) => {
                let urls: Vec<String> = there.into_iter().map(|endpoint| endpoint.url).collect();
                format!("sockets {urls:?}")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    const META: &str = r#"{"Name":"far","Endpoints":{"docker":{"Host":"ssh://me@far"}}}"#;

    fn context_file() -> (String, &'static str) {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest(b"far").iter().fold(String::new(), |t, b| format!("{t}{b:02x}"));
        (format!("home/.docker/contexts/meta/{hash}/meta.json"), META)
    }

    #[test]
    fn the_flag_comes_first_then_the_host_then_the_context_then_sockets() {
        let (path, text) = context_file();
        let current = r#"{"currentContext":"far"}"#;
        let files = [
            (path.as_str(), text),
            ("home/.docker/config.json", current),
            ("var/run/docker.sock", ""),
        ];
        let host = ("DOCKER_HOST", "tcp://127.0.0.1:9");
        assert_eq!(chosen(Some("unix:///x"), &[host], &files), "unix:///x");
        assert_eq!(chosen(None, &[host], &files), "tcp://127.0.0.1:9");
        assert_eq!(chosen(None, &[("DOCKER_HOST", "")], &files), "ssh://me@far");
        assert_eq!(chosen(None, &[("DOCKER_CONTEXT", "far")], &files[..1]), "ssh://me@far");
        assert_eq!(
            chosen(None, &[("DOCKER_CONTEXT", "default")], &files),
            "sockets [\"unix:///var/run/docker.sock\"]"
        );
        assert_eq!(chosen(None, &[], &[]), "sockets []");
    }

    #[test]
    fn sockets_of_docker_come_before_those_of_podman() {
        let files = [
            ("run/podman/podman.sock", ""),
            ("var/run/docker.sock", ""),
            ("run/user/1000/docker.sock", ""),
        ];
        assert_eq!(
            chosen(None, &[], &files),
            "sockets [\"unix:///var/run/docker.sock\", \"unix:///run/user/1000/docker.sock\", \
             \"unix:///run/podman/podman.sock\"]"
        );
    }

    #[test]
    fn what_was_asked_for_is_refused_rather_than_replaced() {
        let sockets = [("var/run/docker.sock", "")];
        let broken = [sockets[0], ("home/.docker/config.json", "{\"currentContext\": \"far\"")];
        let said = chosen(None, &[], &broken);
        assert!(said.starts_with("error: cannot use the engine endpoint `the current"), "{said}");
        for (asked, variables) in [
            (Some("npipe:////./pipe/docker"), vec![]),
            (Some("docker.sock"), vec![]),
            (None, vec![("DOCKER_HOST", "unix://")]),
            (None, vec![("DOCKER_HOST", "ssh://me:secret@host")]),
            (None, vec![("DOCKER_HOST", "me:secret@host:2375")]),
            (None, vec![("DOCKER_CONTEXT", "nowhere")]),
        ] {
            let chosen = chosen(asked, &variables, &sockets);
            assert!(chosen.starts_with("error: cannot use the engine endpoint"), "{chosen}");
            assert!(!chosen.contains("secret"), "{chosen}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        for (url, shown) in [
            ("tcp://me:secret@host:1", "tcp://host:1"),
            ("ssh://me:secret@host", "ssh://me@host"),
            ("ssh://me@host", "ssh://me@host"),
            ("unix:///run/x@y.sock", "unix:///run/x@y.sock"),
        ] {
            let endpoint =
                super::Endpoint { url: url.to_owned(), from: String::new(), certificates: None };
            assert_eq!(endpoint.shown(), shown);
        }
    }
}
