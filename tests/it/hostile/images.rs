//! Images with any configuration, and with any files: what no Dockerfile can say, a tar can.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use bollard::{body_full, query_parameters::ImportImageOptionsBuilder};
use futures_util::StreamExt;

use crate::engine;

/// A file of an image: its path, its mode, and what it holds.
pub(super) enum File {
    Text(&'static str, u32, &'static [u8]),
    Link(&'static str, &'static str),
    Folder(&'static str),
    /// The listener, under that path.
    Listener(&'static str, u32),
}

/// An image that is loaded, and its name.
pub(super) struct Image {
    pub(super) reference: String,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    /// Of the configuration `config` (the part that Dockerfiles set), and of these files.
    pub(super) fn new(config: &Value, architecture: &str, files: &[File]) -> Self {
        let layer = layer(files);
        let whole = json!({
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hash(&layer))] },
        });
        let config = whole.to_string().into_bytes();
        // Fixed by what it holds, so that it is made once and never moved.
        let reference = format!("portlid-fixture:hostile-{}", &hash(&config)[..12]);
        Self { reference, config, layer }
    }
}

/// Loads those that the engine has not.
pub(super) fn load(images: &[&Image]) {
    let missing: Vec<&&Image> =
        images.iter().filter(|image| !engine::has_image(&image.reference)).collect();
    if missing.is_empty() {
        return;
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut manifest = Vec::new();
    let mut layers = Vec::new();
    for image in missing {
        let (config, layer) = (hash(&image.config), hash(&image.layer));
        append(&mut builder, &format!("{config}.json"), 0o644, &image.config);
        let path = format!("{layer}/layer.tar");
        if !layers.contains(&layer) {
            append(&mut builder, &path, 0o644, &image.layer);
            layers.push(layer);
        }
        manifest.push(json!({
            "Config": format!("{config}.json"), "RepoTags": [image.reference], "Layers": [path],
        }));
    }
    append(&mut builder, "manifest.json", 0o644, Value::from(manifest).to_string().as_bytes());
    let body = body_full(builder.into_inner().unwrap().into());
    let docker = engine::docker();
    engine::runtime().block_on(async {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut answers = Box::pin(docker.import_image(options, body, None));
        while let Some(answer) = answers.next().await {
            answer.unwrap();
        }
    });
}

fn layer(files: &[File]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        match file {
            File::Text(path, mode, text) => append(&mut builder, path, *mode, text),
            File::Listener(path, mode) => {
                let binary = std::fs::read(engine::listener()).unwrap();
                append(&mut builder, path, *mode, &binary);
            }
            File::Link(path, target) => {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            }
            File::Folder(path) => {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                builder.append_data(&mut header, path, std::io::empty()).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes).unwrap();
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
