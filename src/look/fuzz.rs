//! The look's parsers, for the fuzzer: what the kernel, a server and the scout say.

use super::{
    http::status_of,
    owners::{inside, numbers},
    process::{bracketed, identity::is_mounted_from, life::parse_life},
    scout::wire::{Line, Request},
    speak::words,
    tables::{self, Table},
};
use crate::{look::glance::Glance, spec::Speaks};

/// The first byte chooses the table. Every row is told, and a table that is cut short is refused.
pub fn table(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let table = Table::ALL[usize::from(*choice) % Table::ALL.len()];
    let mut told = 0;
    match tables::read(table, text, |row| {
        assert_eq!(row.table, table);
        let _ = (row.accepts(), row.bound_to());
        told += 1;
    }) {
        Ok(rows) => {
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(rows + 1, lines, "a line was passed over");
            assert!(told >= rows, "a line told nothing");
            assert!(tables::read(table, &text[..text.len() - 1], |_| {}).is_err(), "cut short");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}

/// The kernel's answers about sockets. The first bytes choose the table and the question's number.
pub fn diag(bytes: &[u8]) {
    let Some(([choice, sequence @ ..], answer)) = bytes.split_first_chunk::<5>() else { return };
    let table = Table::ALL[usize::from(*choice) % Table::ALL.len()];
    let sequence = u32::from_ne_bytes(*sequence);
    let mut rows = 0;
    let told = super::diag::parse(table, sequence, answer, |row| {
        assert_eq!(row.table, table);
        rows += 1;
    });
    if told.is_ok() {
        // A socket takes 88 bytes, and an end 20.
        assert!(rows * 88 <= answer.len(), "a socket was made up");
        assert!(!answer.is_empty(), "nothing was taken for an answer");
    }
}

/// The small files of a process's folder, and the names of its links.
pub fn process_files(bytes: &[u8]) {
    const ID: &str = "0123456789abcdef";
    let _ = parse_life(bytes);
    let _ = numbers(bytes);
    let _ = bracketed(bytes);
    let _ = is_mounted_from(bytes, ID);
    let mut glance = Glance::default();
    let _ = glance.add(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        for user in [0, 1000, u32::MAX] {
            let _ = inside(text, user);
        }
    }
}

/// What a server answers to any of our questions.
pub fn answer(bytes: &[u8]) {
    let _ = status_of(bytes);
    let _ = words::recognise(bytes);
    let _ = (words::is_dns(bytes), words::may_be_smtp(bytes));
    let _ = (words::is_smtp(bytes), words::is_bad_request(bytes));
    for (speaks, _) in Speaks::ALL {
        let _ = words::recognise_reply(speaks, bytes);
    }
}

/// A line to the scout or from it; what is understood is written and read back the same.
pub fn scout_line(bytes: &[u8]) {
    if let Ok(line) = serde_json::from_slice::<Line>(bytes) {
        let text = serde_json::to_string(&line).expect("what was read can be written");
        let again: Line = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(format!("{line:?}"), format!("{again:?}"));
    }
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let text = serde_json::to_string(&request).expect("what was read can be written");
        let again: Request = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(format!("{request:?}"), format!("{again:?}"));
    }
}
