//! A glance at a namespace: counters that change when a socket comes or goes.
//!
//! Reading the tables is dear, because the kernel walks the whole machine's table of TCP
//! connections for each (some milliseconds on a machine with much memory). `sockstat` and
//! `sockstat6` cost microseconds, and count the namespace's own sockets that are in the tables:
//! `sock_prot_inuse_get` in the kernel's `net/ipv4/proc.c`. Equal counters do not prove that
//! nothing changed, since one socket may have come as another went. So a glance only says when to
//! read sooner; the tables are read regularly all the same.

use super::tables::Table;

/// Counters of one moment. Only good for being compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance(Vec<u8>);

impl Glance {
    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the counters of a text: from lines such as `TCP: inuse 5 orphan 0 tw 2` the name and
    /// the number in use. The other numbers are the whole machine's, or say nothing about tables.
    /// Returns whether there was any.
    pub(super) fn add(&mut self, text: &[u8]) -> bool {
        let before = self.0.len();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ');
            if let (Some(name), Some(b"inuse"), Some(number)) =
                (words.next(), words.next(), words.next())
            {
                self.0.extend_from_slice(name);
                self.0.extend_from_slice(number);
            }
        }
        self.0.len() > before
    }

    /// How many sockets are in which table, by these counters.
    pub(super) fn counts(&self) -> Vec<(Table, u64)> {
        let mut counts = Vec::new();
        let mut rest = self.0.as_slice();
        while let Some(colon) = rest.iter().position(|byte| *byte == b':') {
            let (name, after) = (&rest[..colon], &rest[colon + 1..]);
            let end = after.iter().position(|it| !it.is_ascii_digit()).unwrap_or(after.len());
            let number = std::str::from_utf8(&after[..end]).ok().and_then(|it| it.parse().ok());
            let table = match name {
                b"TCP" => Some(Table::Tcp),
                b"TCP6" => Some(Table::Tcp6),
                b"UDP" => Some(Table::Udp),
                b"UDP6" => Some(Table::Udp6),
                b"RAW" => Some(Table::Raw),
                b"RAW6" => Some(Table::Raw6),
                _ => None,
            };
            counts.extend(table.zip(number));
            rest = &after[end..];
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKSTAT: &str = "sockets: used 27\nTCP: inuse 1 orphan 0 tw 8 alloc 5 mem 128\n\
                            UDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n";

    fn glance(text: &str) -> Glance {
        let mut glance = Glance::default();
        assert!(glance.add(text.as_bytes()));
        glance
    }

    /// Only what is in use in the namespace counts.
    #[test]
    fn a_socket_more_shows_and_other_numbers_do_not() {
        let before = glance(SOCKSTAT);
        assert_eq!(before, glance(&SOCKSTAT.replace("tw 8", "tw 9").replace("used 27", "used 30")));
        assert_ne!(before, glance(&SOCKSTAT.replace("UDP: inuse 0", "UDP: inuse 1")));
        assert_ne!(before, glance(&SOCKSTAT.replace("TCP: inuse 1", "TCP: inuse 2")));
    }

    /// The counters, by table.
    #[test]
    fn counters_are_numbers_of_tables() {
        let text = SOCKSTAT.replace("UDP: inuse 0", "UDP: inuse 12");
        let text = format!("{text}TCP6: inuse 3\nRAW6: inuse 1\n");
        let expected = [
            (Table::Tcp, 1),
            (Table::Udp, 12),
            (Table::Raw, 0),
            (Table::Tcp6, 3),
            (Table::Raw6, 1),
        ];
        assert_eq!(glance(&text).counts(), expected);
        assert_eq!(Glance::default().counts(), []);
    }

    /// A text without counters is told from one that has some.
    #[test]
    fn a_text_without_counters_is_no_glance() {
        assert!(!Glance::default().add(b"sockets: used 27\n"));
        assert!(!Glance::default().add(b""));
    }
}
