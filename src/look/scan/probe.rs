//! Trying many ports of one address at once.
//!
//! On a local bridge the whole exchange (SYN, RST) happens inside `connect`, and a second `connect`
//! on the same socket tells the outcome at once. A refused socket can be used for the next port.
//! So a port that answers costs two system calls, and no waiting. Only a silent port keeps its
//! socket, which is asked again, ever more seldom, until patience ends.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, connect, getsockname, ipproto, socket_with,
        sockopt::set_socket_linger,
    },
};

use super::{
    super::error::LookError,
    budget::{self, Permit},
};

/// What one port did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::look) enum Verdict {
    Open,
    Refused,
    Silent,
    /// Answered by an ICMP "unreachable", or by our own routing table.
    Unreachable,
}

impl Verdict {
    /// Whether the container itself answered.
    pub(super) fn is_answer(self) -> bool {
        matches!(self, Self::Open | Self::Refused)
    }
}

/// Ports to be tried once.
pub(in crate::look) struct Attempt<'a> {
    pub(in crate::look) address: IpAddr,
    pub(in crate::look) ports: &'a [u16],
    /// How long a port is waited for.
    pub(in crate::look) patience: Duration,
    /// What patience shrinks to once many ports were silent and none answered late.
    pub(in crate::look) least_patience: Duration,
    /// What `deadline` was reckoned from; for the error.
    pub(in crate::look) within: Duration,
    /// When all must be over.
    pub(in crate::look) deadline: Instant,
    pub(in crate::look) cancel: &'a AtomicBool,
}

/// So many ports at most are begun before the waiting ones are asked again.
const BATCH: usize = 64;
/// From so many ports on, two threads share them.
const WORTH_TWO_THREADS: usize = 4096;
/// From so many silent ports on, patience may shrink.
const MANY_SILENT: u32 = 256;
/// How long trouble of our own may last.
const TROUBLE: Duration = Duration::from_secs(3);
/// After how long a waiting socket is first asked again; four times as long each time after that.
const FIRST_CHECK: Duration = Duration::from_micros(100);
/// The longest time between two questions to a waiting socket.
const LAST_CHECK: Duration = Duration::from_millis(25);

/// Every port that did not refuse, with what it did.
pub(in crate::look) fn probe(attempt: &Attempt<'_>) -> Result<BTreeMap<u16, Verdict>, LookError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let most = budget::most();
    let work = || {
        let mut worker = Worker {
            attempt,
            next: &next,
            stop: &stop,
            most,
            waiting: Vec::new(),
            found: BTreeMap::new(),
            silent: 0,
            slowest: Duration::ZERO,
            trouble: None,
        };
        let outcome = worker.run();
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        outcome.map(|()| worker.found)
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if attempt.ports.len() < WORTH_TWO_THREADS || cores < 2 {
        return work();
    }
    let other = Mutex::new(None);
    let one = thread::scope(|scope| {
        let spawned =
            thread::Builder::new().name("portlid-scan".to_owned()).spawn_scoped(scope, || {
                let outcome = work();
                *other.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
            });
        let one = work();
        // Without a second thread the first one has done it all.
        let joined = spawned.map_or(Ok(()), thread::ScopedJoinHandle::join);
        joined.map_err(|_| LookError::Internal { what: "a scanning thread broke".to_owned() })?;
        one
    });
    let other = other.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match (one, other) {
        // The worker that was stopped by the other's error says only that it was.
        (Err(LookError::Cancelled), Some(Err(error))) | (Err(error), _) => Err(error),
        (Ok(_), Some(Err(error))) => Err(error),
        (Ok(mut found), other) => {
            found.extend(other.and_then(Result::ok).unwrap_or_default());
            Ok(found)
        }
    }
}

struct Worker<'a> {
    attempt: &'a Attempt<'a>,
    next: &'a AtomicUsize,
    stop: &'a AtomicBool,
    most: usize,
    waiting: Vec<Waiting>,
    found: BTreeMap<u16, Verdict>,
    silent: u32,
    /// The longest that any answer took.
    slowest: Duration,
    /// Since when our side fails.
    trouble: Option<Instant>,
}

struct Waiting {
    socket: OwnedFd,
    port: u16,
    since: Instant,
    check: Instant,
    pause: Duration,
    _permit: Permit,
}

/// What a `connect` came to.
enum Outcome {
    Verdict(Verdict),
    Waiting,
    /// It is our side that failed, perhaps for a moment.
    Trouble(Errno),
}

impl Worker<'_> {
    fn run(&mut self) -> Result<(), LookError> {
        let mut spare: Option<OwnedFd> = None;
        let mut put_off: Option<u16> = None;
        loop {
            if self.attempt.cancel.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                return Err(LookError::Cancelled);
            }
            if Instant::now() >= self.attempt.deadline {
                let (address, within) = (self.attempt.address, self.attempt.within);
                return Err(LookError::ScanDeadline { address, within });
            }
            let mut begun = 0;
            while begun < BATCH {
                let Some(port) = put_off.take().or_else(|| self.next_port()) else {
                    break;
                };
                // A socket that has to wait needs a permit; it is taken before, not after.
                let Some(permit) = self.permit() else {
                    put_off = Some(port);
                    break;
                };
                let socket = match spare.take().map_or_else(|| self.socket(), Ok) {
                    Ok(socket) => socket,
                    Err(errno) => {
                        put_off = Some(port);
                        self.suffer(port, errno)?;
                        break;
                    }
                };
                match self.connect(&socket, port)? {
                    Outcome::Verdict(verdict) => {
                        if verdict == Verdict::Refused {
                            spare = Some(socket);
                        }
                        self.trouble = None;
                        self.note(port, verdict);
                    }
                    Outcome::Waiting => self.wait_for(socket, port, permit),
                    Outcome::Trouble(errno) => {
                        put_off = Some(port);
                        self.suffer(port, errno)?;
                        break;
                    }
                }
                begun += 1;
            }
            self.sweep()?;
            let all_begun =
                put_off.is_none() && self.next.load(Ordering::Relaxed) >= self.attempt.ports.len();
            if all_begun && self.waiting.is_empty() {
                return Ok(());
            }
            if begun == 0 {
                thread::sleep(self.nap());
            }
        }
    }

    fn next_port(&self) -> Option<u16> {
        self.attempt.ports.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    /// The right to one more socket. A worker with none waiting always gets it, so that scans that
    /// share the budget all get on.
    fn permit(&self) -> Option<Permit> {
        let most = if self.waiting.is_empty() { usize::MAX } else { self.most };
        Permit::take(most)
    }

    fn socket(&self) -> Result<OwnedFd, Errno> {
        let family = match self.attempt.address {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
    }

    /// Begins to connect, and asks at once what came of it.
    fn connect(&self, socket: &OwnedFd, port: u16) -> Result<Outcome, LookError> {
        match connect(socket, &self.peer(port)) {
            Err(Errno::INPROGRESS) => self.ask(socket, port),
            outcome => self.judge(socket, port, outcome),
        }
    }

    /// Asks a socket that is connecting what came of it.
    fn ask(&self, socket: &OwnedFd, port: u16) -> Result<Outcome, LookError> {
        self.judge(socket, port, connect(socket, &self.peer(port)))
    }

    fn judge(
        &self,
        socket: &OwnedFd,
        port: u16,
        outcome: Result<(), Errno>,
    ) -> Result<Outcome, LookError> {
        let verdict = match outcome {
            // A reset can only follow a connection that had been made; before, it is a refusal.
            Ok(()) | Err(Errno::ISCONN | Errno::CONNRESET | Errno::PIPE) => {
                self.require_another(socket, port)?;
                // Closing resets the connection, so that none lingers in TIME_WAIT.
                let _ = set_socket_linger(socket, Some(Duration::ZERO));
                Verdict::Open
            }
            Err(Errno::CONNREFUSED) => Verdict::Refused,
            Err(Errno::TIMEDOUT) => Verdict::Silent,
            Err(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NONET) => {
                Verdict::Unreachable
            }
            Err(Errno::ALREADY | Errno::INPROGRESS | Errno::INTR) => return Ok(Outcome::Waiting),
            Err(
                errno @ (Errno::ADDRNOTAVAIL
                | Errno::AGAIN
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::ADDRINUSE
                | Errno::CONNABORTED),
            ) => return Ok(Outcome::Trouble(errno)),
            Err(errno) => return Err(self.our_side(port, errno)),
        };
        Ok(Outcome::Verdict(verdict))
    }

    /// A connection whose two ends are one is a phantom: the socket met itself.
    fn require_another(&self, socket: &OwnedFd, port: u16) -> Result<(), LookError> {
        let local = getsockname(socket).ok().and_then(|local| SocketAddr::try_from(local).ok());
        if local == Some(self.peer(port)) {
            let why = "a connection met itself there: it is our own address".to_owned();
            return Err(LookError::Address { address: self.attempt.address, why });
        }
        Ok(())
    }

    fn wait_for(&mut self, socket: OwnedFd, port: u16, permit: Permit) {
        let since = Instant::now();
        self.waiting.push(Waiting {
            socket,
            port,
            since,
            check: since + FIRST_CHECK,
            pause: FIRST_CHECK,
            _permit: permit,
        });
    }

    /// Asks the waiting sockets whose time it is, and lets go of those that waited long enough.
    fn sweep(&mut self) -> Result<(), LookError> {
        let now = Instant::now();
        let mut index = 0;
        while index < self.waiting.len() {
            if self.waiting[index].check > now {
                index += 1;
                continue;
            }
            let (port, since) = (self.waiting[index].port, self.waiting[index].since);
            let verdict = match self.ask(&self.waiting[index].socket, port)? {
                Outcome::Verdict(verdict) => {
                    self.slowest = self.slowest.max(now.duration_since(since));
                    Some(verdict)
                }
                Outcome::Waiting => (now.duration_since(since) >= self.patience()).then(|| {
                    self.silent = self.silent.saturating_add(1);
                    Verdict::Silent
                }),
                Outcome::Trouble(errno) => return Err(self.our_side(port, errno)),
            };
            if let Some(verdict) = verdict {
                self.waiting.swap_remove(index);
                self.note(port, verdict);
            } else {
                let waiting = &mut self.waiting[index];
                waiting.pause = (waiting.pause * 4).min(LAST_CHECK);
                waiting.check = now + waiting.pause;
                index += 1;
            }
        }
        Ok(())
    }

    /// Where hundreds of ports are silent and whatever answered did so at once, the rest need not
    /// be waited for as long.
    fn patience(&self) -> Duration {
        let most = self.attempt.patience;
        if self.silent < MANY_SILENT {
            return most;
        }
        (self.slowest * 20).max(self.attempt.least_patience).min(most)
    }

    fn nap(&self) -> Duration {
        let now = Instant::now();
        let next = self.waiting.iter().map(|waiting| waiting.check).min();
        next.map_or(LAST_CHECK, |next| next.saturating_duration_since(now)).max(FIRST_CHECK)
    }

    fn note(&mut self, port: u16, verdict: Verdict) {
        if verdict != Verdict::Refused {
            self.found.insert(port, verdict);
        }
    }

    /// Bears trouble of our own for a while; waiting sockets may free what is short.
    fn suffer(&mut self, port: u16, errno: Errno) -> Result<(), LookError> {
        let since = *self.trouble.get_or_insert_with(Instant::now);
        let passing = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::AGAIN,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRINUSE,
            Errno::CONNABORTED,
        ];
        if !passing.contains(&errno) || since.elapsed() >= TROUBLE {
            return Err(self.our_side(port, errno));
        }
        if self.waiting.is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn our_side(&self, port: u16, errno: Errno) -> LookError {
        LookError::OurSide { address: self.attempt.address, port, cause: errno.into() }
    }

    fn peer(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.attempt.address, port)
    }
}
