//! The image that everything is measured on, and folders with specs of it.
//!
//! FROM scratch, with one static program that listens at once. It is made before anything is timed.
//! In the end, and if a measurement breaks, every container of it is removed, and the image too.
//! `.ci/bench` does the same for a run that is killed.

use std::{collections::HashMap, path::Path, process::Command};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use tempfile::TempDir;

use crate::engine::{docker, fixture_with, runtime};

/// The executable that is measured.
pub(crate) const PORTLID: &str = env!("CARGO_BIN_EXE_portlid");
/// The label of the image, and so of every container of it.
const LABEL: &str = "portlid-bench";
/// What the image is told to do: to listen on the port that it declares.
pub(crate) const COMMAND: &str = "tcp:0.0.0.0:80";

/// The image.
pub(crate) struct Stage {
    pub(crate) image: String,
    label: String,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let run = std::env::var("PORTLID_BENCH_RUN").unwrap_or_default();
        let run = if run.is_empty() { std::process::id().to_string() } else { run };
        let label = format!("{LABEL}={run}");
        let command = format!("CMD [\"{COMMAND}\"]");
        let image = fixture_with(&["80/tcp"], &[&command, &format!("LABEL {label}")]);
        Self { image, label }
    }

    /// A folder with so many specs that are ready at once, `watch` as given.
    pub(crate) fn specs(&self, count: usize, watch: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("specs")).unwrap();
        for index in 0..count {
            let path = folder.path().join(format!("specs/web-{index}.yaml"));
            let text =
                format!("image: {}\nexpose: [80/tcp]\nwatch: {watch}\nscan: listed\n", self.image);
            std::fs::write(path, text).unwrap();
        }
        folder
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let docker = docker();
        let filters = HashMap::from([("label".to_owned(), vec![self.label.clone()])]);
        let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        runtime().block_on(async {
            for container in docker.list_containers(Some(all)).await.unwrap_or_default() {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                let _ =
                    docker.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
            }
            let options = RemoveImageOptionsBuilder::default().force(true).build();
            if let Err(error) = docker.remove_image(&self.image, Some(options), None).await {
                eprintln!("against: left behind: image {}: {error}", self.image);
            }
        });
    }
}

/// portlid in that folder. Where the bench runs is no business of what it measures.
pub(crate) fn portlid(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PORTLID);
    command
        .args(arguments)
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .current_dir(folder);
    command
}
