//! g: what it costs to watch one quiet container.
//!
//! From here it is the CPU time of a run that watches for ten seconds, less that of one that does not
//! watch. Of a scout it is what the engine counts for the scout's container in the middle of a watch.

use std::{
    collections::HashMap,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;

use crate::{
    engine::{docker, runtime},
    measure::{run, take_turns},
    stage::{Stage, portlid},
    table::{Allowed, Row, Unit},
};

/// The time between two looks at a scout's counter, within the watch of ten seconds.
const BETWEEN: Duration = Duration::from_secs(5);

/// The rows.
pub(crate) fn quiet(stage: &Stage, pairs: usize) -> Vec<Row> {
    let (short, long) = (stage.specs(1, "0s"), stage.specs(1, "10s"));
    let cpu = |folder: &std::path::Path| {
        run(&mut portlid(folder, &["test", "specs", "--look", "here"])).cpu
    };
    let turns = take_turns(
        pairs.div_ceil(5),
        &mut [&mut || cpu(long.path()), &mut || cpu(short.path()), &mut || of_scout(long.path())],
    );
    let watch = turns[0].iter().zip(&turns[1]).map(|(long, short)| (long - short) / 10.0 * 100.0);
    let row = |what: &str, ours: Vec<f64>, allowed| Row {
        what: what.to_owned(),
        against: "-".to_owned(),
        unit: Unit::Percent,
        ours,
        theirs: Vec::new(),
        allowed,
    };
    vec![
        row("a watch over one quiet container, of a core", watch.collect(), Allowed::Most(1.0)),
        row("the same by a scout: its container", turns[2].clone(), Allowed::Most(1.0)),
    ]
}

/// The percentage of a core that a scout uses while it watches.
fn of_scout(folder: &std::path::Path) -> f64 {
    let mut command = portlid(folder, &["test", "specs", "--look", "scout"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let scout = scout_of(&mut child);
    // Until the watch has surely begun.
    thread::sleep(Duration::from_secs(2));
    let (began, before) = (Instant::now(), used(&scout));
    thread::sleep(BETWEEN);
    let (took, after) = (began.elapsed(), used(&scout));
    assert!(child.try_wait().unwrap().is_none(), "the watch was over too early");
    assert!(child.wait().unwrap().success(), "`portlid test` by a scout failed");
    (after - before) / took.as_secs_f64() * 100.0
}

/// The scout's container, as soon as there is one.
fn scout_of(child: &mut Child) -> String {
    let docker = docker();
    let owner = format!(":{}:", child.id());
    let filters = HashMap::from([("label".to_owned(), vec!["dev.portlid.owner".to_owned()])]);
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    loop {
        assert!(child.try_wait().unwrap().is_none(), "there was no scout");
        let listed = runtime().block_on(docker.list_containers(Some(options.clone()))).unwrap();
        let scout = listed.into_iter().find(|container| {
            let label = container.labels.as_ref().and_then(|it| it.get("dev.portlid.owner"));
            let image = container.image.as_deref().unwrap_or_default();
            label.is_some_and(|it| it.contains(&owner)) && image.starts_with("portlid-scout")
        });
        if let Some(id) = scout.and_then(|scout| scout.id) {
            return id;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The CPU seconds that the engine counts for a container.
fn used(container: &str) -> f64 {
    let docker = docker();
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = runtime().block_on(docker.stats(container, Some(options)).next()).unwrap().unwrap();
    let nanoseconds = stats.cpu_stats.and_then(|it| it.cpu_usage).and_then(|it| it.total_usage);
    nanoseconds.unwrap() as f64 / 1e9
}
