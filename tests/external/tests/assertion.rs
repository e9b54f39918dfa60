//! Assertions in ordinary tests, on images and on containers of testcontainers. Those whose name
//! begins with `red` must fail, and all others pass.

use std::{error::Error, sync::Arc, time::Duration};

use portlid::{
    Spec, SpecBuilder,
    judgement::Verdict,
    progress::silent,
    run::{LookFrom, Options, Session},
    spec::{Allow, Scan},
};
use testcontainers::{
    ContainerRequest, GenericImage, ImageExt,
    runners::{AsyncRunner, SyncRunner},
};

portlid::scout!();

type Outcome = Result<(), Box<dyn Error>>;

fn fixture() -> String {
    std::env::var("PORTLID_FIXTURE").expect("an image that tests/it makes")
}

/// A spec of the image, which opens 80/tcp.
fn spec() -> SpecBuilder {
    Spec::image(fixture())
        .command(["tcp:0.0.0.0:80"])
        .watch(Duration::from_millis(300))
        .scan(Scan::Listed)
}

fn image() -> ContainerRequest<GenericImage> {
    let fixture = fixture();
    let (name, tag) = fixture.split_once(':').expect("a tag");
    GenericImage::new(name, tag).with_cmd(["tcp:0.0.0.0:80"])
}

#[tokio::test]
async fn asynchronous() -> Outcome {
    let container = AsyncRunner::start(image()).await?;
    spec().allow(80).build()?.check(&container).await?;
    Ok(())
}

#[test]
fn blocking() -> Outcome {
    let container = SyncRunner::start(image())?;
    spec().allow(80).build()?.check_blocking(&container)?;
    Ok(())
}

/// A runtime with one thread, and no clock.
#[test]
fn under_the_poorest_of_runtimes() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async { spec().allow(80).build()?.test().await.map_err(Box::from) }).map(drop)
}

#[tokio::test]
async fn blocking_within_a_runtime() -> Outcome {
    spec().allow(80).build()?.test_blocking()?;
    Ok(())
}

/// The helper container is made of this test executable.
#[test]
fn by_a_scout() -> Outcome {
    let mut options = Options::default();
    options.look = LookFrom::Scout;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let record = runtime.block_on(async {
        let session = Arc::new(Session::new(options, silent()));
        let record = session.check(&spec().allow(80).build()?).await;
        assert!(session.close().await.is_empty());
        Ok::<_, Box<dyn Error>>(record)
    })?;
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    let evidence = record.evidence.expect("evidence");
    assert!(evidence.looked_from.contains("scout"), "{evidence:?}");
    Ok(())
}

#[tokio::test]
async fn red_container() -> Outcome {
    let container = AsyncRunner::start(image()).await?;
    let metrics = Allow::port(9090).optional();
    spec().allow(metrics).build()?.check(&container).await?;
    Ok(())
}

#[test]
fn red_image() {
    let spec = spec().allow(Allow::port("80/tcp").process("nginx")).build().unwrap();
    spec.test_blocking().unwrap();
}

#[test]
fn red_spec() {
    spec().allow("80/tpc").build().unwrap();
}
