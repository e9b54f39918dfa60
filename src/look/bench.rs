//! One read of a container's sockets by itself, in both ways in which the watch does it.
//!
//! For `benches/` alone: nothing is remembered from one read to the next, and no verdict is made of it.

use std::{collections::BTreeSet, path::PathBuf};

use super::{LookError, Target, diag::Diag, owners::census, process::Subject};

/// A container whose tables can be read.
pub struct Tables {
    proc_root: PathBuf,
    subject: Subject,
    inodes: BTreeSet<u64>,
    diag: Option<Diag>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("pid", &self.subject.pid()).finish_non_exhaustive()
    }
}

impl Tables {
    /// Holds the container's main process.
    ///
    /// # Errors
    ///
    /// If it is not there, or its network is this process's own.
    pub fn open(target: &Target) -> Result<Self, LookError> {
        let subject = Subject::open(&target.proc_root, target.pid, &target.container)?;
        subject.require_own_namespace(&target.proc_root)?;
        let (inodes, diag) = (BTreeSet::new(), Diag::enter(&subject));
        Ok(Self { proc_root: target.proc_root.clone(), subject, inodes, diag })
    }

    /// Reads every table once, and says how many sockets accept traffic.
    ///
    /// # Errors
    ///
    /// If a table cannot be read whole, or the process is not the same any more.
    pub fn read_once(&mut self) -> Result<usize, LookError> {
        let mut accepting = 0;
        self.subject.read_with(None, |row| accepting += usize::from(row.accepts()))?;
        self.subject.check()?;
        Ok(accepting)
    }

    /// The same as the watch mostly does it: the kernel is asked for what may accept traffic, where
    /// this process may enter the namespace.
    ///
    /// # Errors
    ///
    /// As [`read_once`](Self::read_once), and if it may not.
    pub fn ask_once(&mut self) -> Result<usize, LookError> {
        let Some(diag) = &mut self.diag else {
            return Err(LookError::Internal { what: "the namespace was not entered".to_owned() });
        };
        let mut accepting = 0;
        self.subject.read_with(Some(diag), |row| accepting += usize::from(row.accepts()))?;
        self.subject.check()?;
        Ok(accepting)
    }

    /// Reads every table once, and looks up who holds them: how many sockets have a holder.
    ///
    /// # Errors
    ///
    /// As [`read_once`](Self::read_once).
    pub fn read_once_with_owners(&mut self) -> Result<usize, LookError> {
        self.inodes.clear();
        let inodes = &mut self.inodes;
        self.subject.read_with(None, |row| {
            if row.accepts() {
                inodes.insert(row.inode);
            }
        })?;
        self.subject.check()?;
        Ok(census(&self.proc_root, &self.subject, &self.inodes).holders.len())
    }
}
