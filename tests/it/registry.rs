//! A registry of images on 127.0.0.1 that pulls are served from, and that can be told to fail.
//!
//! It speaks as much of the registry's HTTP API, version 2, as an engine needs to pull. Engines take
//! plain HTTP from a loopback address. The engine must be on this machine.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::engine;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The one login that a registry with [`Fault::Login`] takes.
pub(crate) const USER: &str = "porter";
pub(crate) const PASSWORD: &str = "correct-horse-battery";
/// `USER:PASSWORD` as Docker's configuration and HTTP's Basic scheme spell it.
pub(crate) const LOGIN: &str = "cG9ydGVyOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";

/// The architecture of this machine, and of what is pushed.
pub(crate) const NATIVE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// What goes wrong. An image that was never pushed is not found without further ado.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 401 for whoever does not log in, by HTTP's Basic scheme.
    Login,
    /// 401 for whoever does not fetch a token first, which anybody gets: as public registries do.
    Token,
    /// 429 for every manifest.
    TooManyRequests,
    /// A layer stops in its middle.
    Stall,
}

/// Serves until it is dropped; the engine then loses all that it pulled from here, and all with a
/// label that names an image from here.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    /// Digest, media type and bytes of blobs and manifests, by digest and by `NAME:TAG`.
    blobs: HashMap<String, (String, String, Vec<u8>)>,
    fault: Option<Fault>,
    requests: Vec<String>,
    is_closed: bool,
}

impl Shelf {
    fn add(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
        let descriptor = json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
        self.blobs.insert(digest.clone(), (digest, kind.to_owned(), bytes));
        descriptor
    }
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let served = Arc::clone(&shelf);
        thread::spawn(move || {
            let streams = listener.incoming().map_while(Result::ok);
            for stream in streams.take_while(|_| !served.lock().unwrap().is_closed) {
                let shelf = Arc::clone(&served);
                // An engine that hangs up is no failure of ours.
                thread::spawn(move || drop(serve(&stream, &shelf)));
            }
        });
        Self { host, shelf }
    }

    /// The whole reference of `NAME:TAG`.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.shelf.lock().unwrap().fault = fault;
    }

    /// `METHOD PATH` of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shelf.lock().unwrap().requests.clone()
    }

    /// Puts an image there that runs the listener of the fixtures; returns its manifest's digest.
    /// The image is the same for the same `version`; its manifest is another for another `note`.
    pub(crate) fn push(&self, name: &str, version: &str, note: &str) -> String {
        self.tag(name, &self.image(version, NATIVE, note))
    }

    /// Puts an index of several architectures there; returns its digest.
    pub(crate) fn push_index(&self, name: &str, architectures: &[&str]) -> String {
        let manifests = architectures.iter().map(|architecture| {
            let mut manifest = self.image(architecture, architecture, "");
            manifest["platform"] = json!({ "os": "linux", "architecture": architecture });
            manifest
        });
        let manifests = Value::from_iter(manifests);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let index = self.shelf.lock().unwrap().add(INDEX, index.to_string().into_bytes());
        self.tag(name, &index)
    }

    fn tag(&self, name: &str, descriptor: &Value) -> String {
        let mut shelf = self.shelf.lock().unwrap();
        let tagged = shelf.blobs[descriptor["digest"].as_str().unwrap()].clone();
        shelf.blobs.insert(name.to_owned(), tagged.clone());
        tagged.0
    }

    fn image(&self, version: &str, architecture: &str, note: &str) -> Value {
        // An engine does not ask for a layer that it has.
        let nonce = format!("{} {version}", self.host);
        let mut builder = tar::Builder::new(Vec::new());
        let binary = match architecture {
            NATIVE => std::fs::read(engine::listener()).unwrap(),
            _ => b"for another machine".to_vec(),
        };
        for (name, bytes) in [("listener", binary.as_slice()), ("nonce", nonce.as_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes).unwrap();
        }
        let layer = builder.into_inner().unwrap();
        let mut shelf = self.shelf.lock().unwrap();
        let unpacked = shelf.add("", layer.clone())["digest"].clone();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&layer).unwrap();
        let layer = shelf.add(LAYER, packed.finish().unwrap());
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": { "Entrypoint": ["/listener"], "ExposedPorts": { "80/tcp": {} } },
            "rootfs": { "type": "layers", "diff_ids": [unpacked] },
        });
        let config = shelf.add(CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
            "annotations": { "note": note },
        });
        shelf.add(MANIFEST, manifest.to_string().into_bytes())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shelf.lock().unwrap().is_closed = true;
        drop(TcpStream::connect(&self.host)); // wakes the listener
        let (docker, ours) = (engine::docker(), format!("{}/", self.host));
        engine::runtime().block_on(async {
            let all = ListImagesOptionsBuilder::default().all(true).build();
            for image in docker.list_images(Some(all)).await.unwrap_or_default() {
                let names = image.repo_tags.iter().chain(&image.repo_digests);
                let mut names = names.chain(image.labels.values());
                if names.any(|name| name.starts_with(&ours)) {
                    let force = RemoveImageOptionsBuilder::default().force(true).build();
                    let _ = docker.remove_image(&image.id, Some(force), None).await;
                }
            }
        });
    }
}

/// Answers one request. Engines try TLS first, and go on without if they are told in plain words.
fn serve(mut stream: &TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    if stream.peek(&mut first)? == 1 && first[0] == HANDSHAKE {
        // All that was said is read, or the answer would be lost in a reset.
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let _ = stream.read_to_end(&mut Vec::new());
        let answer = "HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(answer.as_bytes());
    }
    let mut lines = BufReader::new(stream.take(64 * 1024)).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let mut state = shelf.lock().unwrap();
    state.requests.push(format!("{method} {path}"));
    let fault = state.fault;
    let found = path.strip_prefix("/v2/").and_then(|path| {
        let (name, what) = path.split_once("/manifests/").or_else(|| path.split_once("/blobs/"))?;
        let tag = format!("{name}:{what}");
        state.blobs.get(&tag).or_else(|| state.blobs.get(what)).cloned()
    });
    drop(state);
    let (scheme, wanted) = match fault {
        Some(Fault::Login) => ("Basic", format!("Authorization: Basic {LOGIN}")),
        Some(Fault::Token) if !path.starts_with("/token") => {
            ("Bearer", "Authorization: Bearer anybody".to_owned())
        }
        _ => ("", String::new()),
    };
    let json = "application/json".to_owned();
    let failed = |code: &str| {
        let error = json!({ "errors": [{ "code": code, "message": "so it is" }] });
        (json.clone(), error.to_string().into_bytes())
    };
    let (status, header, (kind, body)) = match found {
        _ if !scheme.is_empty() && !headers.contains(&wanted) => {
            let realm = format!("realm=\"http://{}/token\"", stream.local_addr()?);
            let header = format!("WWW-Authenticate: {scheme} {realm},service=\"tests\"");
            ("401 Unauthorized", header, failed("UNAUTHORIZED"))
        }
        _ if path.contains("/manifests/") && fault == Some(Fault::TooManyRequests) => {
            ("429 Too Many Requests", "Retry-After: 1".to_owned(), failed("TOOMANYREQUESTS"))
        }
        Some((digest, kind, bytes)) => {
            ("200 OK", format!("Docker-Content-Digest: {digest}"), (kind, bytes))
        }
        None if path == "/v2/" || path.starts_with("/token") => {
            let header = "Docker-Distribution-Api-Version: registry/2.0".to_owned();
            ("200 OK", header, (json, br#"{"token":"anybody"}"#.to_vec()))
        }
        None => ("404 Not Found", "X-Nothing: here".to_owned(), failed("MANIFEST_UNKNOWN")),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n{header}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let is_cut = fault == Some(Fault::Stall) && kind == LAYER;
    stream.write_all(match method {
        "HEAD" => &[],
        _ if is_cut => &body[..length / 2],
        _ => &body,
    })?;
    // Docker hangs up only when there is more to read, even if nobody waits for it.
    while is_cut && !shelf.lock().unwrap().is_closed {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
