//! What reads a container's tables, one sample after the other, and remembers what it saw.
//!
//! It waits for nothing and answers nobody: when it is time, and whom to tell, is the watching
//! thread's affair.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Sighting,
    clerk::{Clerk, Found},
    ledger::{Accepting, Ledger},
};
use crate::look::{
    Target,
    diag::Diag,
    error::LookError,
    glance::Glance,
    holdings::Holdings,
    owners::census,
    process::{Subject, TableState},
    tables::Table,
};

/// How often the namespace is glanced at: often enough that a listener of a few hundredths of a
/// second is seen.
pub(super) const GLANCE: Duration = Duration::from_millis(10);
/// The same once nothing has changed for a while: most listeners come and go while a program starts.
const QUIET: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(20));
/// How long reading the tables may be put off while a glance says that something has changed.
const CHANGED: (Duration, Duration) = (GLANCE, Duration::from_millis(50));
/// How long it is put off while every glance says that nothing has. Whatever listens for longer
/// than that is seen even if the counters are of no use: two sockets that change places leave them
/// as they were.
const UNCHANGED: Duration = Duration::from_millis(100);
/// How often the tables themselves are read where the kernel can be asked for less, or while the
/// container's processes hold what they held.
pub(super) const WHOLLY: Duration = Duration::from_secs(5);
/// How long that is not compared after it was found to cost no less than the tables.
const DEAR: Duration = Duration::from_secs(10);
/// How many times as long as it took the thread rests after reading because of a change, within
/// those limits.
const RESTS_IF_CHANGED: u32 = 9;
/// The same after looking up owners.
const RESTS_AFTER_CENSUS: u32 = 4;

/// Everything that one sample needs.
pub(super) struct Eyes {
    pub(super) proc_root: PathBuf,
    pub(super) subject: Subject,
    /// When the container started.
    pub(super) started: Instant,
    /// When the look began, since then.
    pub(super) began: Duration,
    pub(super) ledger: Ledger,
    pub(super) tables: BTreeMap<Table, TableState>,
    /// How many rows each table had in the latest sample.
    pub(super) rows: [u64; Table::ALL.len()],
    /// The sockets of the latest sample; kept to spare an allocation.
    pub(super) accepting: Vec<Accepting>,
    /// What asks the kernel for less than whole tables; `None` where that cannot be.
    pub(super) diag: Option<Diag>,
    /// Whether that was found to say the same as the tables, the last time they were compared.
    pub(super) accounts_agree: bool,
    /// Which sockets the container's processes hold: compared where the accounts do not agree.
    pub(super) holdings: Holdings,
    /// When they may be compared next.
    pub(super) next_comparison: Instant,
    /// When the tables were last read, or found not worth reading.
    pub(super) last_look: Instant,
    pub(super) last_sample: Instant,
    /// When there was last a reason to read sooner.
    pub(super) last_change: Instant,
    /// When the tables themselves were read.
    pub(super) last_whole: Instant,
    pub(super) last_glance: Instant,
    /// What accepts traffic was known at this moment: there was a sample then, or nothing had
    /// changed since one.
    pub(super) last_sight: Instant,
    /// The counters before the latest sample; `None` if they changed while it was taken, or if
    /// there are none.
    pub(super) settled: Option<Glance>,
    pub(super) glance: Glance,
    pub(super) glances: u32,
    pub(super) longest_gap: Duration,
    /// Whether a process of the container was seen in another network namespace.
    pub(super) elsewhere: bool,
    /// Whether any search was complete; in the end, any of the last.
    pub(super) searched: bool,
    /// The addresses of the namespace, once they were read.
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) counters_agree: Option<bool>,
    /// How long the latest sample took, owners not counted.
    pub(super) cost: Duration,
    pub(super) next_census: Instant,
    /// Whether owners are sought at all. While an engine starts a container, its own processes are
    /// about, in namespaces of theirs.
    pub(super) seeks_owners: bool,
    /// Who looks up owners; without it this thread does.
    pub(super) clerk: Option<Clerk>,
}

impl Eyes {
    pub(super) fn open(target: &Target) -> Result<Self, LookError> {
        let now = Instant::now();
        let subject = Subject::open(&target.proc_root, target.pid, &target.container)?;
        subject.require_own_namespace(&target.proc_root)?;
        Ok(Self {
            proc_root: target.proc_root.clone(),
            started: now.checked_sub(target.age).unwrap_or(now),
            began: target.age,
            ledger: Ledger::default(),
            tables: BTreeMap::new(),
            rows: [0; Table::ALL.len()],
            accepting: Vec::new(),
            diag: Diag::enter(&subject),
            accounts_agree: false,
            holdings: Holdings::default(),
            next_comparison: now,
            last_look: now,
            last_sample: now,
            last_change: now,
            last_whole: now,
            last_glance: now,
            last_sight: now,
            settled: None,
            glance: Glance::default(),
            glances: 0,
            longest_gap: Duration::ZERO,
            elsewhere: false,
            searched: false,
            addresses: BTreeSet::new(),
            counters_agree: None,
            cost: Duration::ZERO,
            next_census: now,
            seeks_owners: true,
            clerk: None,
            subject,
        })
    }

    /// How long to sleep now.
    pub(super) fn rest(&self) -> Duration {
        let pace = if self.last_change.elapsed() < QUIET.0 { GLANCE } else { QUIET.1 };
        pace.saturating_sub(self.last_glance.elapsed())
    }

    /// Reads the tables if it is time, or if the counters say that something has changed.
    pub(super) fn glance_or_sample(&mut self) -> Result<(), LookError> {
        let began = Instant::now();
        let changed = self.has_changed();
        let due = if changed {
            self.last_change = began;
            (self.cost * RESTS_IF_CHANGED).clamp(CHANGED.0, CHANGED.1)
        } else {
            UNCHANGED
        };
        // The glances come every `GLANCE`; what would be due shortly before the next is due now.
        let due = due.saturating_sub(GLANCE / 2);
        if self.last_look.elapsed() >= due && (changed || !self.holds_the_same()) {
            return self.sample();
        }
        let checked = self.subject.check();
        checked.map_err(|error| self.explain(error))?;
        self.last_glance = began;
        // What has changed is not known before it is read.
        if !changed {
            self.note_sight(began);
            self.glances = self.glances.saturating_add(1);
        }
        Ok(())
    }

    /// Whether the tables need not be read yet, because the container's processes hold the sockets
    /// that they held before the latest sample.
    fn holds_the_same(&mut self) -> bool {
        let began = Instant::now();
        if self.accounts_agree
            || began.duration_since(self.last_whole) >= WHOLLY
            || began < self.next_comparison
        {
            return false;
        }
        let is_settled = self.holdings.is_settled();
        let is_same = self.holdings.are_the_same(&self.proc_root, &self.subject);
        if is_settled && began.elapsed() > self.cost / 2 {
            self.next_comparison = began + DEAR;
        }
        if is_same {
            self.last_look = began;
        }
        is_same
    }

    /// Whether the tables may hold something else than in the latest sample.
    pub(super) fn has_changed(&mut self) -> bool {
        // A port that was missed once is looked for again, since a sample can miss what is there;
        // and an owner that is still sought needs a sample to be sought again.
        if self.ledger.has_doubts() {
            return true;
        }
        let Some(settled) = &self.settled else { return true };
        !self.subject.glance(&mut self.glance) || self.glance != *settled
    }

    /// Notes that from `began` until now was looked at what accepts traffic. What came right after
    /// the last look began and goes right before this one ends may be seen by neither.
    pub(super) fn note_sight(&mut self, began: Instant) {
        self.longest_gap = self.longest_gap.max(self.last_sight.elapsed());
        self.last_sight = began;
    }

    pub(super) fn sample(&mut self) -> Result<(), LookError> {
        let is_whole = !self.accounts_agree || self.last_whole.elapsed() >= WHOLLY;
        self.read(is_whole).map_err(|error| self.explain(error))?;
        if is_whole {
            self.compare_accounts();
        }
        if let Some(found) = self.clerk.as_mut().and_then(Clerk::found) {
            self.take_in(&found);
        }
        if !self.seeks_owners || self.last_sample < self.next_census {
            return Ok(());
        }
        let pending = self.ledger.pending();
        match &mut self.clerk {
            Some(clerk) if !clerk.is_searching() && !pending.is_empty() => clerk.seek(pending),
            Some(_) => {}
            None => self.look_up(&pending),
        }
        Ok(())
    }

    /// Reads all tables, between two checks that the process is there and in its namespace; if not
    /// wholly, what can be asked for at less cost is.
    fn read(&mut self, is_whole: bool) -> Result<(), LookError> {
        let began = Instant::now();
        (self.last_sample, self.last_look, self.last_glance) = (began, began, began);
        self.subject.check()?;
        let before = self.subject.glance(&mut self.glance).then(|| self.glance.clone());
        self.accepting.clear();
        let (accepting, rows) = (&mut self.accepting, &mut self.rows);
        rows.fill(0);
        let diag = if is_whole { None } else { self.diag.as_mut() };
        let states = self.subject.read_with(diag, |row| {
            rows[row.table as usize] += 1;
            accepting.extend(Accepting::of(&row));
        })?;
        self.subject.check()?;
        self.note_sight(began);
        for (table, state) in Table::ALL.into_iter().zip(states) {
            // A kernel module may come during the watch, and its table with it.
            let known = self.tables.entry(table).or_insert(state);
            if state == TableState::Read {
                *known = state;
            } else if *known == TableState::Read {
                return Err(LookError::MissingTable { table });
            }
        }
        // SCTP has no counters: where it is, glances say nothing.
        let has_counters = self.tables.get(&Table::Sctp) == Some(&TableState::NotInKernel);
        let after = self.subject.glance(&mut self.glance).then_some(&self.glance);
        self.settled = before.filter(|before| has_counters && Some(before) == after);
        if is_whole {
            self.last_whole = began;
        }
        if !is_whole || !self.accounts_agree {
            self.cost = began.elapsed();
        }
        self.ledger.note(self.started.elapsed(), &self.accepting);
        Ok(())
    }

    /// Holds the kernel's two accounts against each other, if nothing changed meanwhile. Until they
    /// agree only the tables are believed.
    fn compare_accounts(&mut self) {
        let (Some(diag), Some(settled)) = (&mut self.diag, &self.settled) else { return };
        let mut told = Vec::new();
        let all = self.subject.read_with(Some(diag), |row| told.extend(Accepting::of(&row)));
        let unchanged = self.subject.glance(&mut self.glance) && self.glance == *settled;
        if !unchanged {
            return;
        }
        told.sort_unstable();
        let mut listed = self.accepting.clone();
        listed.sort_unstable();
        self.accounts_agree = all.is_ok() && told == listed;
    }

    pub(super) fn look_up(&mut self, inodes: &BTreeSet<u64>) {
        if !inodes.is_empty() {
            self.search(inodes);
        }
    }

    /// Looks through every process of the container.
    pub(super) fn search(&mut self, inodes: &BTreeSet<u64>) {
        let began = Instant::now();
        let census = census(&self.proc_root, &self.subject, inodes);
        self.take_in(&Found { sought: inodes.clone(), census, took: began.elapsed() });
    }

    pub(super) fn take_in(&mut self, found: &Found) {
        self.elsewhere |= found.census.elsewhere;
        self.searched |= found.census.complete;
        self.ledger.attribute(&found.sought, &found.census);
        self.next_census = Instant::now() + found.took * RESTS_AFTER_CENSUS;
    }

    /// Reads the tables themselves.
    pub(super) fn read_or_explain(&mut self) -> Result<(), LookError> {
        self.read(true).map_err(|error| self.explain(error))
    }

    /// An error that came because the process has ended is reported as that. Until now nobody
    /// looked: that counts as a gap, however it ended.
    pub(super) fn explain(&mut self, error: LookError) -> LookError {
        let is_missing = match &error {
            LookError::MissingTable { .. } => true,
            LookError::Unreadable { cause, .. } => cause.is_missing(),
            _ => false,
        };
        // Only what is missing may be a sign of the end: whatever else was seen stays seen.
        let ended = matches!(error, LookError::NoProcess { .. })
            || self.subject.process().has_ended()
            || is_missing && self.is_ending();
        self.note_sight(Instant::now());
        if ended {
            LookError::Gone {
                pid: self.subject.pid(),
                after: self.started.elapsed(),
                seen: Box::new(self.sighting()),
            }
        } else {
            error
        }
    }

    /// Whether the process ends in a moment: when it is killed, its first thread may
    /// have lost everything already while another has not got as far.
    fn is_ending(&self) -> bool {
        const MOMENT: u32 = 20;
        for _ in 0..MOMENT {
            if self.subject.process().has_ended() {
                return true;
            }
            std::thread::sleep(GLANCE);
        }
        false
    }

    pub(super) fn sighting(&self) -> Sighting {
        Sighting {
            container: self.subject.container().to_owned(),
            sockets: self.ledger.sockets(),
            lost: self.ledger.lost().clone(),
            samples: self.ledger.samples(),
            glances: self.glances,
            watched: self.ledger.watched(),
            from: self.began,
            watched_from: self.ledger.watch_phase(),
            until: self.ledger.last(),
            longest_gap: self.longest_gap,
            netns: self.subject.netns(),
            identity: self.subject.identity(),
            elsewhere: self.elsewhere,
            tables: self.tables.clone(),
            searched: self.searched,
            addresses: self.addresses.clone(),
            counters_agree: self.counters_agree,
        }
    }
}
