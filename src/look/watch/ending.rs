//! The last look of a watch: what has to be known before "nothing else listens" can be said.
//!
//! Every process of the container is looked through, the tables are held against the kernel's own
//! counters, and the process must still be the one that was opened, in the same namespace.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Sighting,
    eyes::{Eyes, GLANCE},
};
use crate::look::error::LookError;

/// How often what may have changed under our eyes is looked at in the end.
const TRIES: usize = 4;

impl Eyes {
    /// Reads everything once more, and checks that all of it is still as it was.
    pub(super) fn finish(&mut self) -> Result<Sighting, LookError> {
        self.read_or_explain()?;
        self.compare_counters()?;
        // The watch is over; what follows is about the owners of what is there now.
        let longest_gap = self.longest_gap;
        self.searched = false;
        // Even if there is no socket: a process may be in another namespace. Processes that change
        // while they are read may need another try.
        for _ in 0..TRIES {
            self.search(&self.ledger.present());
            if self.searched {
                break;
            }
        }
        // "Nobody holds it" takes two looks with the socket still there between them.
        for _ in 0..2 {
            if self.ledger.pending().is_empty() {
                break;
            }
            self.read_or_explain()?;
            self.look_up(&self.ledger.pending());
        }
        self.addresses = self.read_addresses()?;
        let checked = self.subject.check_wholly();
        checked.map_err(|error| self.explain(error))?;
        Ok(Sighting { longest_gap, ..self.sighting() })
    }

    /// A process that replaces its program has no files for a moment: then it is tried again.
    fn read_addresses(&mut self) -> Result<BTreeSet<IpAddr>, LookError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.subject.addresses() {
                Err(LookError::Unreadable { cause, .. })
                    if cause.is_missing()
                        && tries < TRIES
                        && !self.subject.process().has_ended() =>
                {
                    std::thread::sleep(GLANCE);
                }
                Err(error) => return Err(self.explain(error)),
                Ok(addresses) => return Ok(addresses),
            }
        }
    }

    /// Holds the tables against the kernel's counters: a table that lists fewer sockets than there
    /// are was cut, or is another namespace's. Only where nothing changed while they were read.
    /// (There may be more rows than sockets: connections that are being made or already over.)
    fn compare_counters(&mut self) -> Result<(), LookError> {
        for _ in 0..TRIES {
            if let Some(counters) = &self.settled {
                let counts = counters.counts();
                let agree =
                    counts.iter().all(|(table, count)| self.rows[*table as usize] >= *count);
                self.counters_agree = (!counts.is_empty()).then_some(agree);
                if agree {
                    break;
                }
            }
            self.read_or_explain()?;
        }
        Ok(())
    }
}
