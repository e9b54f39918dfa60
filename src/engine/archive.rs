//! Loading an image from a file: what `docker save` writes, or an OCI layout in a tar.
//!
//! The file is read twice: once for its index, once to send it. It is sent under a tag of ours
//! alone, so that loading it never moves a tag of the user's; and as a Docker archive, since older
//! engines read nothing else. An image that the engine has already is not loaded again.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::query_parameters::ImportImageOptionsBuilder;
use flate2::read::GzDecoder;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    client::{REQUEST, is_missing, request},
    context,
    error::{Cause, EngineError},
    labels,
    scene::Scene,
};
use crate::spec::Platform;

/// The repository of the tags under which archives are loaded, for as long as they are needed.
pub(super) const REPOSITORY: &str = "portlid-archive";
/// A load without a word for this long has stalled.
const STALLS: Duration = Duration::from_secs(5 * 60);
/// What may be an index or a manifest is not larger than this.
const LARGEST_INDEX: u64 = 4 * 1024 * 1024;
/// All of them together are not larger than this.
const LARGEST_INDEXES: u64 = 64 * 1024 * 1024;

/// One image in a Docker archive, as `manifest.json` lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An OCI image index.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// An OCI image manifest.
#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
struct Descriptor {
    digest: String,
}

/// An image's configuration, as far as it names the platform.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// Makes sure that the engine has the image in the file; returns what to resolve it by.
pub(super) async fn load(
    scene: &mut Scene<'_>,
    path: &Path,
    platform: Option<&Platform>,
) -> Result<String, EngineError> {
    let engine = scene.engine();
    let failed = |cause: Cause| EngineError::Archive { path: path.to_owned(), cause };
    let (file, wanted) = (path.to_owned(), platform.cloned());
    let chosen = tokio::task::spawn_blocking(move || choose(&file, wanted.as_ref()));
    let chosen = chosen.await.map_err(|error| failed(error.into()))?.map_err(failed)?;

    // The id of an image is the hash of its configuration, in stores that keep it so.
    if let Some(id) = config_digest(&chosen.config) {
        let seen = request("inspect the image", REQUEST, engine.docker.inspect_image(&id)).await;
        match seen {
            Ok(_) => return Ok(id),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }

    engine.tell(scene.spec(), &format!("loading {}", path.display()));
    // The run's id is in the tag, so that its reaper knows it.
    let tag = format!("{REPOSITORY}:{}-{}", engine.run(), labels::random());
    scene.note_tag(tag.clone());
    let (file, entry) = (path.to_owned(), Entry { repo_tags: Some(vec![tag.clone()]), ..chosen });
    let body = context::stream(move |builder| send(&file, &entry, builder));
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answers = engine.docker.import_image_stream(options, body, None);
    loop {
        match timeout(STALLS, answers.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(failed(Box::new(error))),
            Ok(None) => return Ok(tag),
            Err(_) => {
                return Err(EngineError::Deadline {
                    what: format!("go on loading `{}`", path.display()),
                    limit: STALLS,
                });
            }
        }
    }
}

/// `sha256:...` of a configuration that is named by its hash.
fn config_digest(name: &str) -> Option<String> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let hash = name.rsplit('/').next()?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| format!("sha256:{hash}"))
}

/// The archive's bytes, unpacked if they are packed.
fn open(path: &Path) -> io::Result<tar::Archive<Box<dyn Read>>> {
    let mut file = File::open(path)?;
    let mut magic = [0_u8; 2];
    let read = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let file = BufReader::with_capacity(128 * 1024, file);
    let is_packed = read == 2 && magic == [0x1f, 0x8b];
    let bytes: Box<dyn Read> =
        if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    Ok(tar::Archive::new(bytes))
}

/// A name within the archive, without `./`.
fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<String> {
    let path = entry.path()?;
    Ok(path.strip_prefix("./").unwrap_or(&path).to_string_lossy().into_owned())
}

/// Reads the indexes and chooses the one image that is meant.
fn choose(path: &Path, platform: Option<&Platform>) -> Result<Entry, Cause> {
    let mut small: HashMap<String, Vec<u8>> = HashMap::new();
    let mut sum = 0;
    for entry in open(path)?.entries()? {
        let mut entry = entry?;
        let name = name_of(&entry)?;
        let may_be_index = name.ends_with(".json") || name.starts_with("blobs/");
        if may_be_index && entry.size() <= LARGEST_INDEX && entry.header().entry_type().is_file() {
            sum += entry.size();
            if sum > LARGEST_INDEXES {
                return Err("its indexes are too large".into());
            }
            let mut bytes = Vec::new();
            entry.by_ref().take(LARGEST_INDEX).read_to_end(&mut bytes)?;
            small.insert(name, bytes);
        }
    }
    let mut entries: Vec<Entry> = if let Some(manifest) = small.get("manifest.json") {
        serde_json::from_slice(manifest)?
    } else if let Some(index) = small.get("index.json") {
        let index: Index = serde_json::from_slice(index)?;
        let mut entries = Vec::new();
        images(&small, &index, 0, &mut entries)?;
        entries
    } else {
        return Err("it holds neither `manifest.json` nor `index.json`".into());
    };
    if let Some(wanted) = platform {
        entries.retain(|entry| {
            let config = small.get(&entry.config);
            config.and_then(|config| serde_json::from_slice::<Config>(config).ok()).is_none_or(
                |config| config.os == wanted.os && config.architecture == wanted.architecture,
            )
        });
    }
    match (entries.pop(), entries.len()) {
        (Some(entry), 0) => Ok(entry),
        (None, _) => Err("it holds no image for that platform".into()),
        (Some(_), more) => {
            Err(format!("it holds {} images; save one alone, or say which `platform`", more + 1)
                .into())
        }
    }
}

/// Every image of an index, and of the indexes that it names.
fn images(
    small: &HashMap<String, Vec<u8>>,
    index: &Index,
    depth: usize,
    entries: &mut Vec<Entry>,
) -> Result<(), Cause> {
    for descriptor in &index.manifests {
        let Some(bytes) = small.get(&blob(&descriptor.digest)?) else {
            return Err(format!("`{}` is named, but not there", descriptor.digest).into());
        };
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
            let config = blob(&manifest.config.digest)?;
            // Attestations look like images of an unknown platform.
            let is_image = small
                .get(&config)
                .and_then(|config| serde_json::from_slice::<Config>(config).ok())
                .is_some_and(|config| !config.os.is_empty() && config.os != "unknown");
            if is_image {
                let layers = manifest.layers.iter().map(|layer| blob(&layer.digest));
                entries.push(Entry {
                    config,
                    repo_tags: None,
                    layers: layers.collect::<Result<_, _>>()?,
                });
            }
        } else if depth < 4 {
            images(small, &serde_json::from_slice(bytes)?, depth + 1, entries)?;
        }
    }
    Ok(())
}

/// Where an OCI layout keeps the blob of that digest.
fn blob(digest: &str) -> Result<String, Cause> {
    match digest.split_once(':') {
        Some((algorithm, hash))
            if [algorithm, hash]
                .iter()
                .all(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric())) =>
        {
            Ok(format!("blobs/{algorithm}/{hash}"))
        }
        _ => Err(format!("`{}` is not a digest", crate::foreign::shown(digest, 100)).into()),
    }
}

/// Sends the archive with an index of our own that names `chosen` alone.
fn send(
    path: &Path,
    chosen: &Entry,
    builder: &mut tar::Builder<context::Sender>,
) -> io::Result<()> {
    const INDEXES: [&str; 4] = ["manifest.json", "repositories", "index.json", "oci-layout"];
    let manifest = serde_json::to_vec(&[chosen])?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(manifest.len() as u64);
    builder.append_data(&mut header, "manifest.json", manifest.as_slice())?;
    for entry in open(path)?.entries()? {
        let mut entry = entry?;
        let name = name_of(&entry)?;
        if INDEXES.contains(&name.as_str()) {
            continue;
        }
        let mut header = entry.header().clone();
        let kind = header.entry_type();
        if kind.is_file() {
            builder.append_data(&mut header, PathBuf::from(&name), &mut entry)?;
        } else if kind.is_dir() {
            builder.append_data(&mut header, PathBuf::from(&name), io::empty())?;
        } else if kind.is_symlink()
            && let Some(target) = entry.link_name()?.map(std::borrow::Cow::into_owned)
        {
            // `docker save` of old engines stores a layer that occurs twice as a link.
            builder.append_link(&mut header, PathBuf::from(&name), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{choose, config_digest};
    use crate::spec::Platform;

    /// A tar of these files in a folder that lives as long as the test.
    fn archive(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
        (folder, path)
    }

    const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;
    const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;

    #[test]
    fn a_docker_archive_names_its_image() {
        let manifest = r#"[{"Config":"aa.json","RepoTags":["web:1"],"Layers":["x/layer.tar"]}]"#;
        let (_folder, path) = archive(&[("manifest.json", manifest), ("aa.json", AMD64)]);
        let entry = choose(&path, None).unwrap();
        assert_eq!((entry.config.as_str(), entry.layers.len()), ("aa.json", 1));
    }

    #[test]
    fn an_oci_layout_is_followed_through_its_indexes() {
        let files = [
            ("oci-layout", "{}"),
            ("index.json", r#"{"manifests":[{"digest":"sha256:11"}]}"#),
            (
                "blobs/sha256/11",
                r#"{"manifests":[{"digest":"sha256:22"},{"digest":"sha256:33"},{"digest":"sha256:44"}]}"#,
            ),
            (
                "blobs/sha256/22",
                r#"{"config":{"digest":"sha256:aa"},"layers":[{"digest":"sha256:ff"}]}"#,
            ),
            ("blobs/sha256/33", r#"{"config":{"digest":"sha256:bb"},"layers":[]}"#),
            ("blobs/sha256/44", r#"{"config":{"digest":"sha256:cc"},"layers":[]}"#),
            ("blobs/sha256/aa", AMD64),
            ("blobs/sha256/bb", ARM64),
            ("blobs/sha256/cc", r#"{"os":"unknown","architecture":"unknown"}"#),
        ];
        let (_folder, path) = archive(&files);
        let platform = |architecture: &str| Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        };
        assert_eq!(choose(&path, Some(&platform("amd64"))).unwrap().config, "blobs/sha256/aa");
        assert_eq!(choose(&path, Some(&platform("arm64"))).unwrap().config, "blobs/sha256/bb");
        assert!(choose(&path, Some(&platform("s390x"))).is_err());
        let error = choose(&path, None).unwrap_err().to_string();
        assert!(error.contains("2 images"), "{error}");
    }

    #[test]
    fn a_tar_that_is_no_image_is_refused() {
        let (_folder, path) = archive(&[("readme.txt", "hello")]);
        assert!(choose(&path, None).unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn only_a_hash_names_a_configuration() {
        let hash = "a".repeat(64);
        for name in [format!("{hash}.json"), format!("blobs/sha256/{hash}")] {
            assert_eq!(config_digest(&name), Some(format!("sha256:{hash}")));
        }
        assert_eq!(config_digest("config.json"), None);
    }
}
