//! Scouts that lie, stall, garble and die. None of them makes a whole look.
//!
//! `cargo test scout -- --nocapture` prints the table of what was tried and what came of it.

use std::path::PathBuf;

use futures_util::stream;
use tokio::io::{AsyncBufReadExt, BufReader, duplex};

use super::*;
use crate::{
    look::{AddressReport, Identity, TableState, tables::Table},
    observation::ScanResult,
};

const CONTAINER: &str = "c0ffee";
const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 17, 0, 2));
const PATIENT: Duration = Duration::from_millis(300);
const LINE: usize = 64 * 1024;

fn target() -> Target {
    Target {
        proc_root: PathBuf::from("/proc"),
        pid: 42,
        container: CONTAINER.to_owned(),
        age: Duration::ZERO,
    }
}

fn sighting() -> Sighting {
    Sighting {
        container: CONTAINER.to_owned(),
        sockets: Vec::new(),
        lost: std::collections::BTreeMap::new(),
        samples: 9,
        glances: 30,
        watched: Duration::from_secs(1),
        from: Duration::ZERO,
        watched_from: None,
        until: Duration::ZERO,
        longest_gap: Duration::from_millis(50),
        netns: 4_026_532_601,
        identity: Identity::Verified,
        elsewhere: false,
        tables: Table::ALL.into_iter().map(|table| (table, TableState::Read)).collect(),
        searched: true,
        addresses: [ADDRESS].into(),
        counters_agree: None,
    }
}

fn report(address: IpAddr) -> ScanReport {
    let of = AddressReport {
        address,
        open: 0,
        refused: 65_535,
        silent: 0,
        unreachable: 0,
        took: Duration::ZERO,
    };
    let result = ScanResult { scanned: 65_535, full: true, ..ScanResult::default() };
    ScanReport { result, addresses: vec![of] }
}

/// What an honest scout answers.
fn honest(what: &What) -> Option<Result<Answer, LookError>> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Some(Ok(match what {
        What::Control => Answer::Control(Seen { portlid: version, open: 4711, shut: 4712 }),
        What::CanSee(_) | What::Begin(_) | What::BeginWatchPhase(_) => Answer::Done,
        What::SoFar(_) | What::Finish(_) => Answer::Sighting(sighting()),
        What::Scan(_) => Answer::Scan(report(ADDRESS)),
        What::Http { .. } => Answer::Status(Some(200)),
        What::Ask { .. } => Answer::Spoken(Spoken::NotAsked),
        What::Expect { .. } | What::Forget(_) => return None,
    }))
}

fn line(id: u64, answer: Result<Answer, LookError>) -> Vec<u8> {
    let mut text = serde_json::to_vec(&Line::Answer { id, answer }).unwrap();
    text.push(b'\n');
    text
}

fn truth(request: &Request) -> Vec<u8> {
    honest(&request.what).map_or_else(Vec::new, |answer| line(request.id, answer))
}

/// What a peer says to a request; `None` ends it.
type Peer = fn(&Request) -> Option<Vec<u8>>;

/// A scout whose other end is `peer`.
fn scout(peer: Peer) -> Arc<Scout> {
    let (input, requests) = duplex(1 << 20);
    let (say, said) = mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        let mut requests = BufReader::new(requests).lines();
        while let Ok(Some(text)) = requests.next_line().await {
            let request: Request = serde_json::from_str(&text).unwrap();
            match peer(&request) {
                // In pieces, as they may come over a stream.
                Some(bytes) => bytes.chunks(700).for_each(|piece| {
                    let _ = say.send(Bytes::copy_from_slice(piece));
                }),
                None => return,
            }
        }
    });
    let output = stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) });
    Arc::new(Scout::with_limits(input, Box::pin(output), PATIENT, LINE))
}

/// One spec's look, as the run does it.
async fn look(scout: &Arc<Scout>) -> Result<(Sighting, ScanReport), LookError> {
    scout.control().await?;
    let watch = scout.begin(target()).await?;
    scout.can_see(target()).await?;
    watch.begin_watch_phase().await?;
    let request = ScanRequest {
        within: Duration::from_millis(10),
        ..ScanRequest::full(vec![ADDRESS], BTreeSet::new())
    };
    let report = scout.scan(request).await?;
    if let Some(ended) = watch.ended() {
        return Err(ended);
    }
    Ok((watch.finish().await?, report))
}

#[tokio::test]
async fn an_honest_scout_is_believed() {
    let (seen, scanned) = look(&scout(|request| Some(truth(request)))).await.unwrap();
    assert_eq!((seen, scanned), (sighting(), report(ADDRESS)));
}

/// Another answer to the request that `is` picks, the truth to all others.
macro_rules! but {
    ($pattern:pat, $answer:expr) => {
        |request: &Request| {
            Some(match request.what {
                $pattern => line(request.id, $answer),
                _ => truth(request),
            })
        }
    };
}

const WAYS: &[(&str, &str, Peer)] = &[
    ("it never answers", "in time", |_| Some(Vec::new())),
    ("it is dead", "it ended", |_| None),
    ("it dies in the middle", "it ended", |request| match request.what {
        What::Scan(_) => None,
        _ => Some(truth(request)),
    }),
    ("it dies at the end", "it ended", |request| match request.what {
        What::Finish(_) => None,
        _ => Some(truth(request)),
    }),
    ("it stalls at the end", "in time", |request| match request.what {
        What::Finish(_) => Some(Vec::new()),
        _ => Some(truth(request)),
    }),
    ("it stalls when the watch begins", "in time", |request| match request.what {
        What::BeginWatchPhase(_) => Some(Vec::new()),
        _ => Some(truth(request)),
    }),
    ("its last line is cut short", "in time", |request| match request.what {
        What::Finish(_) => truth(request).split_last().map(|(_, cut)| cut.to_vec()),
        _ => Some(truth(request)),
    }),
    ("it speaks nonsense", "nonsense", |_| Some(b"hello\n".to_vec())),
    ("it speaks an empty line", "nonsense", |_| Some(b"\n".to_vec())),
    ("it speaks binary", "nonsense", |_| Some(vec![0, 255, 254, 10])),
    ("a byte is lost", "nonsense", |request| {
        Some(truth(request).into_iter().filter(|&it| it != b'"').collect())
    }),
    ("it speaks without end", "without end", |_| Some(vec![b'x'; LINE + 1])),
    ("it answers another number", "in time", |request| {
        honest(&request.what).map(|answer| line(request.id + 1000, answer))
    }),
    (
        "it is of another version",
        "another version",
        but!(
            What::Control,
            Ok(Answer::Control(Seen { portlid: "9.9.9".to_owned(), open: 1, shut: 2 }))
        ),
    ),
    ("it tells more than we know", "nonsense", |request| match request.what {
        What::Finish(_) => {
            let text = String::from_utf8(truth(request)).unwrap();
            Some(text.replace("\"samples\"", "\"blind\":true,\"samples\"").into_bytes())
        }
        _ => Some(truth(request)),
    }),
    ("it tells less than we need", "nonsense", |request| match request.what {
        What::Finish(_) => {
            let text = String::from_utf8(truth(request)).unwrap();
            Some(text.replace("\"searched\":true,", "").into_bytes())
        }
        _ => Some(truth(request)),
    }),
    ("its control is no control", "another question", but!(What::Control, Ok(Answer::Done))),
    (
        "its control fails",
        "control failed",
        but!(What::Control, Err(LookError::Control { what: "nothing was seen".to_owned() })),
    ),
    ("it begins with a status", "another question", but!(What::Begin(_), Ok(Answer::Status(None)))),
    (
        "it does not say whether it can see",
        "another question",
        but!(What::CanSee(_), Ok(Answer::Status(Some(200)))),
    ),
    (
        "it cannot see",
        "does not belong",
        but!(
            What::CanSee(_),
            Err(LookError::Stranger { pid: 42, container: CONTAINER.to_owned() })
        ),
    ),
    (
        "it has no such watch",
        "no such watch",
        but!(
            What::Finish(_),
            Err(LookError::Internal { what: "there is no such watch".to_owned() })
        ),
    ),
    (
        "it ends with a scan",
        "another question",
        but!(What::Finish(_), Ok(Answer::Scan(report(ADDRESS)))),
    ),
    ("it ends with nothing", "another question", but!(What::Finish(_), Ok(Answer::Done))),
    (
        "it tells of another container",
        "another container",
        but!(
            What::Finish(_),
            Ok(Answer::Sighting(Sighting { container: "decaf".to_owned(), ..sighting() }))
        ),
    ),
    (
        "it scanned another address",
        "another question",
        but!(What::Scan(_), Ok(Answer::Scan(report(IpAddr::from([172, 17, 0, 3]))))),
    ),
    (
        "it scanned no address",
        "another question",
        but!(
            What::Scan(_),
            Ok(Answer::Scan(ScanReport { addresses: Vec::new(), ..report(ADDRESS) }))
        ),
    ),
    (
        "it scanned some ports only",
        "another question",
        but!(
            What::Scan(_),
            Ok(Answer::Scan(ScanReport { result: ScanResult::default(), ..report(ADDRESS) }))
        ),
    ),
    ("its watch ended, and lives again", "was restarted", |request| match request.what {
        What::Scan(_) => {
            let status = |ended| {
                // The first request of a look is its control, the second begins the watch.
                let (watch, listening) = (2, BTreeSet::new());
                let mut text =
                    serde_json::to_vec(&Line::Status { watch, listening, ended }).unwrap();
                text.push(b'\n');
                text
            };
            let ended = LookError::Scout { why: "the container was restarted".to_owned() };
            Some([status(Some(ended)), status(None), truth(request)].concat())
        }
        _ => Some(truth(request)),
    }),
];

#[tokio::test]
async fn no_scout_that_fails_makes_a_whole_look() {
    for (way, expected, peer) in WAYS {
        let error = look(&scout(*peer)).await.expect_err(way);
        let told = error.to_string();
        println!("| {way} | {told} |");
        assert!(told.contains(expected), "{way}: {told}");
        assert!(error.hint().is_some(), "{way}: no hint");
    }
}

/// What comes twice counts once: the first word holds.
#[tokio::test]
async fn an_answer_that_comes_twice_counts_once() {
    let peer: Peer = |request| {
        let lie = Sighting { samples: 1000, ..sighting() };
        Some([truth(request), line(request.id, Ok(Answer::Sighting(lie)))].concat())
    };
    let (seen, _) = look(&scout(peer)).await.unwrap();
    assert_eq!(seen.samples, sighting().samples);
}

/// Answers may come in another order than the questions.
#[tokio::test]
async fn each_answer_finds_its_question() {
    let scout = scout(|request| {
        static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let mut held = HELD.lock().unwrap();
        match request.what {
            What::CanSee(_) => {
                *held = truth(request);
                Some(Vec::new())
            }
            _ => Some([truth(request), std::mem::take(&mut *held)].concat()),
        }
    });
    let (can_see, control) = tokio::join!(scout.can_see(target()), scout.control());
    can_see.unwrap();
    assert_eq!(control.unwrap().open, 4711);
}

/// Whoever asks a scout that is gone is told so at once, and every watch ends.
#[tokio::test]
async fn a_scout_that_is_gone_stays_gone() {
    let scout = scout(|request| match request.what {
        What::Scan(_) => None,
        _ => Some(truth(request)),
    });
    let watch = scout.begin(target()).await.unwrap();
    assert!(scout.scan(ScanRequest::full(vec![ADDRESS], BTreeSet::new())).await.is_err());
    assert!(watch.wait_until(|_| false).await.is_err());
    assert!(watch.ended().is_some());
    assert!(watch.so_far().await.is_err());
    assert!(watch.finish().await.is_err());
    assert!(scout.control().await.is_err());
    assert!(scout.begin(target()).await.is_err());
    assert_eq!(scout.ask(&[ADDRESS], Port::tcp(80), None, PATIENT).await, Spoken::NotAsked);
    assert_eq!(scout.http_status(&[ADDRESS], 80, "/").await, None);
}
