//! Reading the socket tables of a subject, from its folder under `/proc` or from `sock_diag`.

use std::fs::File;

use rustix::{
    buffer::spare_capacity,
    io::{Errno, pread},
};

use super::{LookError, Process, Subject, TableState};
use crate::look::{
    diag::Diag,
    glance::Glance,
    tables::{self, Row, Table},
};

/// More than the counters of a namespace take.
const COUNTERS: usize = 4096;
/// What is asked for at once, so that the kernel writes most tables in one go.
const AT_ONCE: usize = 64 * 1024;

impl Subject {
    /// Reads the counters into `glance`; `false` if they say nothing.
    pub(in crate::look) fn glance(&self, glance: &mut Glance) -> bool {
        let mut text = [0; COUNTERS];
        glance.clear();
        !self.open_counters.is_empty()
            && self.open_counters.iter().all(|file| match pread(file, &mut text[..], 0) {
                Ok(length) => length < COUNTERS && glance.add(&text[..length]),
                Err(_) => false,
            })
    }

    /// Reads one table. Says whether the kernel has it.
    ///
    /// # Errors
    ///
    /// As [`read_with`](Self::read_with).
    pub(in crate::look) fn read_table(
        &mut self,
        table: Table,
        each: impl FnMut(Row),
    ) -> Result<bool, LookError> {
        let is_there = self.load(table as usize, table)?;
        if is_there {
            tables::read(table, &self.buffer, each)?;
        }
        Ok(is_there)
    }

    /// Reads every table once and calls `each` for every socket. What `diag` knows of a table that
    /// was read before is taken from there: then only sockets that may accept are told.
    ///
    /// # Errors
    ///
    /// If a table is missing that this kernel must have, or cannot be read whole. Some rows may
    /// have been reported by then.
    pub(in crate::look) fn read_with(
        &mut self,
        mut diag: Option<&mut Diag>,
        mut each: impl FnMut(Row),
    ) -> Result<[TableState; Table::ALL.len()], LookError> {
        let mut states = [TableState::Read; Table::ALL.len()];
        for (index, table) in Table::ALL.into_iter().enumerate() {
            // A table that the kernel lacks must go on being missed.
            if let Some(diag) = diag.as_deref_mut()
                && self.tables[index].is_some()
                && diag.read(table, &mut each).is_ok()
            {
                continue;
            }
            if !self.load(index, table)? {
                states[index] = TableState::NotInKernel;
                continue;
            }
            tables::read(table, &self.buffer, &mut each)?;
        }
        Ok(states)
    }

    /// Reads a table's text into the buffer; `false` if the kernel does not have the table.
    ///
    /// The file stays open and is read again from its start, which spares the kernel the way
    /// through the folders. That it is still the right namespace's is checked with every sample.
    fn load(&mut self, index: usize, table: Table) -> Result<bool, LookError> {
        if !self.opened(index, table)? {
            return Ok(false);
        }
        let Some(file) = &self.tables[index] else { return Ok(false) };
        read_from_start(file, &mut self.buffer)
            .map_err(|errno| LookError::unreadable(self.process.shown(table.path()), errno))?;
        Ok(true)
    }

    /// Makes sure that a table is open; `false` if the kernel does not have it.
    fn opened(&mut self, index: usize, table: Table) -> Result<bool, LookError> {
        if self.tables[index].is_some() {
            return Ok(true);
        }
        match self.process.file(table.path()) {
            Ok(file) => self.tables[index] = Some(file),
            Err(Errno::NOENT | Errno::SRCH) => {
                return absent(&self.process, table).map(|()| false);
            }
            Err(errno) => {
                return Err(LookError::unreadable(self.process.shown(table.path()), errno));
            }
        }
        Ok(true)
    }

    /// Opens every table, to know that it may be read.
    ///
    /// # Errors
    ///
    /// If one is missing that this kernel must have, or may not be opened.
    pub(in crate::look) fn open_tables(&mut self) -> Result<(), LookError> {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            self.opened(index, table)?;
        }
        Ok(())
    }
}

/// The whole of a file, in the place of what `buffer` held.
fn read_from_start(file: &File, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    buffer.clear();
    loop {
        buffer.reserve(AT_ONCE);
        let offset = buffer.len() as u64;
        match pread(file, spare_capacity(buffer), offset) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Judges a table's absence: fine if the kernel lacks the protocol, an error otherwise.
fn absent(process: &Process, table: Table) -> Result<(), LookError> {
    if process.has_ended() {
        return Err(LookError::NoProcess { pid: process.pid() });
    }
    // Namespaces of one kernel have the same tables: what the looker has cannot be missing there.
    let looker = process.path.with_file_name("self");
    if looker.join(table.path()).exists() {
        return Err(LookError::MissingTable { table });
    }
    if !table.is_essential() {
        // A kernel with the protocol has both families' tables, or that of IPv4 alone.
        let twin = if table == Table::Udplite { Some(Table::Udplite6) } else { None };
        return match twin {
            Some(twin) if process.file(twin.path()).is_ok() => {
                Err(LookError::MissingTable { table })
            }
            _ => Ok(()),
        };
    }
    // `if_inet6` is there wherever IPv6 is, even if it is switched off by sysctl.
    let has_ipv6 = ["net/if_inet6", "net/tcp6", "net/udp6", "net/raw6"]
        .iter()
        .any(|file| process.file(file).is_ok());
    if table.is_ipv6() && !has_ipv6 {
        return Ok(());
    }
    Err(LookError::MissingTable { table })
}
