//! Loading an image from a file: what `docker save` writes, or an OCI layout in a tar.
//!
//! The file is read twice: once for its index, once to send it. It is sent under a tag of ours
//! alone, so that loading it never moves a tag of the user's; and as a Docker archive, since older
//! engines read nothing else. An image that the engine has already is not loaded again. What was
//! loaded goes away at the end of the run.

mod entries;

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{Docker, query_parameters::ImportImageOptionsBuilder};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use self::entries::Entries;
use super::{
    client::{Engine, is_missing, patience, request},
    context,
    error::{Cause, EngineError},
    meter::unending,
    reaper,
    scene::removing,
    sweep::{image_left, remove_image},
};
use crate::{foreign::shown, record::LeftBehind, spec::Platform};

/// The repository of the tags under which archives are loaded, for as long as they are needed.
pub(super) const REPOSITORY: &str = "portlid-archive";
/// A load without a word for this long has stalled.
const STALLS: Duration = Duration::from_secs(5 * 60);
/// What may be an index or a manifest is not larger than this.
const LARGEST_INDEX: u64 = 4 * 1024 * 1024;
/// All of them together are not larger than this.
const LARGEST_INDEXES: u64 = 64 * 1024 * 1024;

/// More files than an image can have: names take memory too, and pack well.
const MOST_FILES: usize = 100_000;
/// More images than an index can mean. Indexes that name each other again and again would take
/// forever.
const MOST_NAMED: usize = 10_000;

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

/// A tag under which an archive was loaded, and the request that loads it until it is answered.
#[derive(Debug)]
pub(super) struct Loaded {
    tag: String,
    pending: Option<JoinHandle<Result<(), Cause>>>,
}

/// Makes sure that the engine has the image in the file; returns what to resolve it by.
pub(super) async fn load(
    engine: &Engine,
    spec: &str,
    path: &Path,
    platform: Option<&Platform>,
) -> Result<String, EngineError> {
    let failed = |cause: Cause| EngineError::Archive { path: path.to_owned(), cause };
    let (file, wanted) = (path.to_owned(), platform.cloned());
    let chosen = tokio::task::spawn_blocking(move || choose(&file, wanted.as_ref()));
    let Chosen { entry, id } =
        chosen.await.map_err(|error| failed(error.into()))?.map_err(failed)?;

    if let Some(id) = id {
        let seen = request("inspect the image", patience(), engine.docker.inspect_image(&id)).await;
        match seen {
            Ok(_) => return Ok(id),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }

    engine.tell(spec, &format!("loading {}", shown(&path.display().to_string(), 200)));
    reaper::ensure(engine).await;
    // Who made it is in the tag: an image of others cannot be given a label.
    let tag = format!("{REPOSITORY}:{}", engine.maker.tag());
    let entry = Entry { repo_tags: Some(vec![tag.clone()]), ..entry };
    let (docker, file) = (engine.docker.clone(), path.to_owned());
    noted(engine, &tag, async move { import(&docker, file, entry).await }).await.map_err(failed)?;
    Ok(tag)
}

/// Has an image made under a tag that is removed at the end of the run. The request goes on even
/// if this future is dropped: what it makes is noted down, and waited for.
pub(super) async fn noted(
    engine: &Engine,
    tag: &str,
    load: impl Future<Output = Result<(), Cause>> + Send + 'static,
) -> Result<(), Cause> {
    let (done, answer) = oneshot::channel();
    let pending = tokio::spawn(async move {
        let _ = done.send(load.await);
        Ok(())
    });
    engine.note_loaded(Loaded { tag: tag.to_owned(), pending: Some(pending) });
    answer.await.unwrap_or_else(|_| Err("the load broke off".into()))
}

async fn import(docker: &Docker, file: PathBuf, entry: Entry) -> Result<(), Cause> {
    let body = context::stream(move |builder| send(&file, &entry, builder));
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answers = unending(docker.import_image_stream(options, body, None));
    loop {
        match timeout(STALLS, answers.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(Box::new(error)),
            Ok(None) => return Ok(()),
            Err(_) => return Err("the engine takes no more of it".into()),
        }
    }
}

/// Removes a tag of ours; the image goes with it unless something else names it.
pub(super) async fn unload(engine: &Engine, loaded: Loaded) -> Option<LeftBehind> {
    let Loaded { tag, pending } = loaded;
    let settled = match pending {
        Some(pending) => timeout(removing(), pending).await.is_ok(),
        None => true,
    };
    let left = remove_image(engine, &tag).await;
    if left.is_none() && !settled {
        // It may yet appear: then the reaper finds it.
        return Some(image_left(engine, &tag, "the engine has not said what became of it"));
    }
    left
}

/// The image of an archive that is meant.
#[derive(Debug)]
struct Chosen {
    entry: Entry,
    /// Its id, if the archive's own bytes prove it: the hash of its configuration, by which most
    /// engines name an image. Its name alone proves nothing.
    id: Option<String>,
}

/// The id of an image with this configuration.
fn id_of(config: &[u8]) -> String {
    let hash = Sha256::digest(config);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Reads the indexes and chooses the one image that is meant.
fn choose(path: &Path, platform: Option<&Platform>) -> Result<Chosen, Cause> {
    choose_from(Entries::open(path)?, platform)
}

fn choose_from(archive: Entries, platform: Option<&Platform>) -> Result<Chosen, Cause> {
    let mut small: HashMap<String, Vec<u8>> = HashMap::new();
    let mut sum = 0;
    archive.each(|number, name, entry| {
        if number >= MOST_FILES {
            return Err("it holds more than 100,000 files: it is no image".into());
        }
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
        Ok::<(), Cause>(())
    })?;
    let mut entries: Vec<Entry> = if let Some(manifest) = small.get("manifest.json") {
        serde_json::from_slice(manifest)?
    } else if let Some(index) = small.get("index.json") {
        let index: Index = serde_json::from_slice(index)?;
        let mut entries = Vec::new();
        images(&small, &index, 0, &mut 0, &mut entries)?;
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
        (Some(entry), 0) => {
            let id = small.get(&entry.config).map(|config| id_of(config));
            Ok(Chosen { entry, id })
        }
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
    named: &mut usize,
    entries: &mut Vec<Entry>,
) -> Result<(), Cause> {
    for descriptor in &index.manifests {
        *named += 1;
        if *named > MOST_NAMED {
            return Err("its indexes name more than 10,000 images".into());
        }
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
            images(small, &serde_json::from_slice(bytes)?, depth + 1, named, entries)?;
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
    Entries::open(path)?.each(|_, name, entry| {
        if INDEXES.contains(&name.as_str()) {
            return Ok(());
        }
        let mut header = entry.header().clone();
        let kind = header.entry_type();
        if kind.is_file() {
            builder.append_data(&mut header, PathBuf::from(&name), entry)?;
        } else if kind.is_dir() {
            builder.append_data(&mut header, PathBuf::from(&name), io::empty())?;
        } else if kind.is_symlink()
            && let Some(target) = entry.link_name()?.map(std::borrow::Cow::into_owned)
        {
            // `docker save` of old engines stores a layer that occurs twice as a link.
            builder.append_link(&mut header, PathBuf::from(&name), target)?;
        }
        Ok(())
    })
}

/// Any bytes as an archive.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: impl Read + io::Seek + 'static) {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    if let Ok(archive) = Entries::of(bytes) {
        let _ = choose_from(archive, Some(&platform));
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, path::PathBuf};

    use super::{
        Chosen, LARGEST_INDEX, LARGEST_INDEXES, MOST_FILES, choose, entries::LARGEST_HEADERS, id_of,
    };
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
        let Chosen { entry, id } = entry;
        assert_eq!((entry.config.as_str(), entry.layers.len()), ("aa.json", 1));
        // The hash of what is there, whatever its name claims.
        assert_eq!(id, Some(id_of(AMD64.as_bytes())));
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
        assert_eq!(
            choose(&path, Some(&platform("amd64"))).unwrap().entry.config,
            "blobs/sha256/aa"
        );
        assert_eq!(
            choose(&path, Some(&platform("arm64"))).unwrap().entry.config,
            "blobs/sha256/bb"
        );
        assert!(choose(&path, Some(&platform("s390x"))).is_err());
        let error = choose(&path, None).unwrap_err().to_string();
        assert!(error.contains("2 images"), "{error}");
    }

    /// A thousand times a thousand times a thousand: each step would be quick, all of them not.
    #[test]
    fn indexes_that_name_each_other_without_end_are_refused() {
        let named = vec![r#"{"digest":"sha256:11"}"#; 1000].join(",");
        let index = format!(r#"{{"manifests":[{named}]}}"#);
        let (_folder, path) = archive(&[("index.json", &index), ("blobs/sha256/11", &index)]);
        let error = choose(&path, None).unwrap_err().to_string();
        assert_eq!(error, "its indexes name more than 10,000 images");
    }

    #[test]
    fn a_tar_that_is_no_image_is_refused() {
        let (_folder, path) = archive(&[("readme.txt", "hello")]);
        assert!(choose(&path, None).unwrap_err().to_string().contains("neither"));
    }

    /// What is made of a packed archive of these files.
    fn packed(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Chosen, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar.gz");
        let file = std::fs::File::create(&path).unwrap();
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        choose(&path, None).map_err(|error| error.to_string())
    }

    /// An archive of an image, in the order in which a writer may put it: its index last.
    fn with_image(
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
        manifest: Vec<u8>,
    ) -> Result<Chosen, String> {
        let image = [("aa.json".to_owned(), AMD64.into()), ("manifest.json".to_owned(), manifest)];
        packed(files.into_iter().chain(image))
    }

    const MANIFEST: &str = r#"[{"Config":"aa.json","Layers":[]}]"#;

    /// Of a file, and of what stands before it and is as long as that.
    fn described(kind: tar::EntryType, length: u64) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar.gz");
        let file = std::fs::File::create(&path).unwrap();
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(length);
        header.as_gnu_mut().unwrap().set_real_size(length);
        builder
            .append_data(&mut header, "././@LongLink", std::io::repeat(b'a').take(length))
            .unwrap();
        let manifest = r#"[{"Config":"aa.json","RepoTags":["web:1"],"Layers":[]}]"#;
        for (name, text) in [("long", ""), ("manifest.json", manifest), ("aa.json", AMD64)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        (folder, path)
    }

    /// The library reads a name whole, however long it is.
    #[test]
    fn a_name_without_an_end_is_refused() {
        let (_folder, path) = described(tar::EntryType::GNULongName, 300);
        assert_eq!(choose(&path, None).unwrap().entry.config, "aa.json");
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let (_folder, path) = described(kind, LARGEST_HEADERS);
            let Err(error) = choose(&path, None) else { panic!("{kind:?} was read") };
            assert!(error.to_string().contains("a name of more than 1 MiB"), "{kind:?}: {error}");
        }
        // A file itself may be as long as it likes.
        let (_folder, path) = described(tar::EntryType::Regular, 3 * LARGEST_HEADERS);
        assert_eq!(choose(&path, None).unwrap().entry.config, "aa.json");
    }

    #[test]
    fn a_file_with_holes_is_refused() {
        let (_folder, path) = described(tar::EntryType::GNUSparse, 0);
        let Err(error) = choose(&path, None) else { panic!("it was read") };
        assert!(error.to_string().contains("is sparse"), "{error}");
    }

    #[test]
    fn an_archive_of_too_many_files_is_refused() {
        let files = |count: usize| (0..count).map(|number| (format!("layer/{number}"), Vec::new()));
        let wanted = MOST_FILES - 2;
        assert!(with_image(files(wanted), MANIFEST.into()).is_ok());
        let error = with_image(files(wanted + 1), MANIFEST.into()).unwrap_err();
        assert_eq!(error, "it holds more than 100,000 files: it is no image");
    }

    #[test]
    fn an_index_that_is_too_large_is_not_read() {
        let padded = |size: u64| {
            let mut manifest = MANIFEST.as_bytes().to_vec();
            manifest.resize(usize::try_from(size).unwrap(), b' ');
            manifest
        };
        assert!(with_image([], padded(LARGEST_INDEX)).is_ok());
        let error = with_image([], padded(LARGEST_INDEX + 1)).unwrap_err();
        assert!(error.contains("neither"), "{error}");
    }

    #[test]
    fn indexes_that_are_too_large_together_are_refused() {
        let each = usize::try_from(LARGEST_INDEX).unwrap();
        let blobs = |count: usize| {
            (0..count).map(move |number| (format!("blobs/sha256/{number}"), vec![b' '; each]))
        };
        let room = usize::try_from(LARGEST_INDEXES / LARGEST_INDEX).unwrap();
        assert!(with_image(blobs(room - 1), MANIFEST.into()).is_ok());
        let error = with_image(blobs(room), MANIFEST.into()).unwrap_err();
        assert_eq!(error, "its indexes are too large");
    }

    #[test]
    fn indexes_are_followed_to_some_depth_only() {
        let image = r#"{"config":{"digest":"sha256:aa"},"layers":[]}"#;
        // An index names an index names an index, and the last an image.
        let nested = |depth: usize| {
            let index = |next: usize| format!(r#"{{"manifests":[{{"digest":"sha256:{next}"}}]}}"#);
            let between = (0..depth).map(|at| (format!("blobs/sha256/{at}"), index(at + 1).into()));
            let ends = [
                ("index.json".to_owned(), index(0).into()),
                (format!("blobs/sha256/{depth}"), image.into()),
                ("blobs/sha256/aa".to_owned(), AMD64.into()),
            ];
            packed(between.chain(ends))
        };
        assert_eq!(nested(4).unwrap().entry.config, "blobs/sha256/aa");
        assert!(nested(5).is_err());
    }
}
