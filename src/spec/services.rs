//! Names of services: `https` is 443.
//!
//! The table is a part of the program, a selection from IANA's registry under the names that
//! `/etc/services` gives them. That file itself is never read: a spec must mean the same on every
//! machine.

use crate::socket::Protocol::{self, Sctp, Tcp, Udp};

const SCTP: &[Protocol] = &[Sctp];
const TCP: &[Protocol] = &[Tcp];
const TCP_SCTP: &[Protocol] = &[Tcp, Sctp];
const TCP_UDP: &[Protocol] = &[Tcp, Udp];
const TCP_UDP_SCTP: &[Protocol] = &[Tcp, Udp, Sctp];
const UDP: &[Protocol] = &[Udp];

/// Name, number, and the protocols that the name is registered for. Sorted by name.
#[rustfmt::skip]
const SERVICES: &[(&str, u16, &[Protocol])] = &[
    ("afpovertcp", 548, TCP), ("amanda", 10080, TCP), ("amqp", 5672, TCP_SCTP),
    ("amqps", 5671, TCP), ("asf-rmcp", 623, UDP), ("auth", 113, TCP), ("babel", 6696, UDP),
    ("bacula-dir", 9101, TCP), ("bacula-fd", 9102, TCP), ("bacula-sd", 9103, TCP),
    ("bfd-control", 3784, UDP), ("bgp", 179, TCP), ("bgpd", 2605, TCP), ("biff", 512, UDP),
    ("bitcoin", 8333, TCP), ("bootpc", 68, UDP), ("bootps", 67, UDP), ("chargen", 19, TCP_UDP),
    ("cisco-sccp", 2000, TCP), ("cmd", 514, TCP), ("coap", 5683, UDP), ("coaps", 5684, UDP),
    ("comsat", 512, UDP), ("couchdb", 5984, TCP), ("cvspserver", 2401, TCP), ("daap", 3689, TCP),
    ("daytime", 13, TCP_UDP), ("dhcpv6-client", 546, UDP), ("dhcpv6-server", 547, UDP),
    ("diameter", 3868, TCP_SCTP), ("dicom", 11112, TCP), ("dict", 2628, TCP),
    ("discard", 9, TCP_UDP), ("distcc", 3632, TCP), ("docker", 2375, TCP), ("docker-s", 2376, TCP),
    ("domain", 53, TCP_UDP), ("domain-s", 853, TCP_UDP), ("echo", 7, TCP_UDP), ("epmap", 135, TCP),
    ("epmd", 4369, TCP), ("etcd-client", 2379, TCP), ("etcd-server", 2380, TCP), ("exec", 512, TCP),
    ("finger", 79, TCP), ("ftp", 21, TCP), ("ftp-data", 20, TCP), ("ftps", 990, TCP),
    ("ftps-data", 989, TCP), ("geneve", 6081, UDP), ("git", 9418, TCP), ("gopher", 70, TCP),
    ("gpsd", 2947, TCP), ("gtp-control", 2123, UDP), ("gtp-user", 2152, UDP), ("hkp", 11371, TCP),
    ("http", 80, TCP), ("http-alt", 8080, TCP), ("https", 443, TCP_UDP), ("icp", 3130, UDP),
    ("icpv2", 3130, UDP), ("ident", 113, TCP), ("imap", 143, TCP), ("imap2", 143, TCP),
    ("imaps", 993, TCP), ("ipfix", 4739, TCP_UDP_SCTP), ("ipp", 631, TCP), ("iprop", 2121, TCP),
    ("ipsec-nat-t", 4500, UDP), ("ircd", 6667, TCP), ("ircs-u", 6697, TCP), ("isakmp", 500, UDP),
    ("iscsi", 860, TCP), ("iscsi-target", 3260, TCP), ("isisd", 2608, TCP), ("isns", 3205, TCP_UDP),
    ("jabber-client", 5222, TCP), ("jabber-server", 5269, TCP), ("kerberos", 88, TCP_UDP),
    ("kerberos-adm", 749, TCP), ("kerberos4", 750, TCP_UDP), ("kerberos5", 88, TCP_UDP),
    ("klogin", 543, TCP), ("kpasswd", 464, TCP_UDP), ("krb5", 88, TCP_UDP), ("kshell", 544, TCP),
    ("l2f", 1701, UDP), ("l2tp", 1701, UDP), ("ldap", 389, TCP_UDP), ("ldaps", 636, TCP_UDP),
    ("llmnr", 5355, UDP), ("login", 513, TCP), ("lrrd", 4949, TCP), ("m3ua", 2905, SCTP),
    ("mail", 25, TCP), ("mdns", 5353, UDP), ("memcache", 11211, TCP_UDP),
    ("microsoft-ds", 445, TCP), ("mongodb", 27017, TCP), ("mqtt", 1883, TCP),
    ("ms-sql-m", 1434, UDP), ("ms-sql-s", 1433, TCP), ("ms-wbt-server", 3389, TCP),
    ("munin", 4949, TCP), ("mysql", 3306, TCP), ("nbd", 10809, TCP), ("netbios-dgm", 138, UDP),
    ("netbios-ns", 137, UDP), ("netbios-ssn", 139, TCP), ("netconf-ssh", 830, TCP),
    ("netstat", 15, TCP), ("nfs", 2049, TCP_UDP), ("ngap", 38412, SCTP), ("nicname", 43, TCP),
    ("nntp", 119, TCP), ("nntps", 563, TCP), ("nrpe", 5666, TCP), ("nsca", 5667, TCP),
    ("ntalk", 518, UDP), ("ntp", 123, UDP), ("ntske", 4460, TCP), ("nut", 3493, TCP_UDP),
    ("openvpn", 1194, TCP_UDP), ("ospf6d", 2606, TCP), ("ospfapi", 2607, TCP), ("ospfd", 2604, TCP),
    ("pdl-datastream", 9100, TCP), ("pop-3", 110, TCP), ("pop3", 110, TCP), ("pop3s", 995, TCP),
    ("portmapper", 111, TCP_UDP), ("postgres", 5432, TCP), ("postgresql", 5432, TCP),
    ("pptp", 1723, TCP), ("printer", 515, TCP), ("ptp-event", 319, UDP), ("ptp-general", 320, UDP),
    ("puppet", 8140, TCP), ("qotd", 17, TCP), ("quote", 17, TCP), ("radacct", 1813, TCP_UDP),
    ("radius", 1812, TCP_UDP), ("radius-acct", 1813, TCP_UDP), ("radsec", 2083, TCP),
    ("redis", 6379, TCP), ("rfb", 5900, TCP), ("ripd", 2602, TCP), ("ripngd", 2603, TCP),
    ("rmiregistry", 1099, TCP), ("route", 520, UDP), ("rsync", 873, TCP), ("rtps", 7400, UDP),
    ("rtsp", 554, TCP_UDP), ("s1-control", 36412, SCTP), ("secure-mqtt", 8883, TCP),
    ("sflow", 6343, UDP), ("shell", 514, TCP), ("sieve", 4190, TCP), ("sink", 9, TCP_UDP),
    ("sip", 5060, TCP_UDP), ("sip-tls", 5061, TCP_UDP), ("smtp", 25, TCP), ("smtps", 465, TCP),
    ("snmp", 161, TCP_UDP), ("snmp-trap", 162, TCP_UDP), ("snmptrap", 162, TCP_UDP),
    ("socks", 1080, TCP), ("spamd", 783, TCP), ("spooler", 515, TCP), ("ssdp", 1900, UDP),
    ("ssh", 22, TCP), ("stun", 3478, TCP_UDP), ("stuns", 5349, TCP_UDP), ("submission", 587, TCP),
    ("submissions", 465, TCP), ("subversion", 3690, TCP), ("sunrpc", 111, TCP_UDP),
    ("svn", 3690, TCP), ("svrloc", 427, TCP_UDP), ("syslog", 514, TCP_UDP),
    ("syslog-tls", 6514, TCP), ("systat", 11, TCP), ("tacacs", 49, TCP_UDP), ("talk", 517, UDP),
    ("tcpmux", 1, TCP), ("telnet", 23, TCP), ("telnets", 992, TCP), ("tftp", 69, UDP),
    ("time", 37, TCP_UDP), ("tinc", 655, TCP_UDP), ("turn", 3478, TCP_UDP),
    ("turns", 5349, TCP_UDP), ("users", 11, TCP), ("uucp", 540, TCP), ("vxlan", 4789, UDP),
    ("webcache", 8080, TCP), ("websm", 9090, TCP), ("who", 513, UDP), ("whois", 43, TCP),
    ("wsman", 5985, TCP), ("wsmans", 5986, TCP), ("www", 80, TCP), ("x11", 6000, TCP),
    ("x2-control", 36422, SCTP), ("xmpp-client", 5222, TCP), ("xmpp-server", 5269, TCP),
    ("zabbix-agent", 10050, TCP), ("zabbix-trapper", 10051, TCP), ("zebra", 2601, TCP),
    ("zebrasrv", 2600, TCP),
];

/// Why a name is no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// No service has the name.
    Name,
    /// The service is there, but not for this protocol; its number.
    Protocol(u16),
}

/// The number of the service `name`, which must be registered for `protocol`.
pub(super) fn number_of(name: &str, protocol: Protocol) -> Result<u16, Unknown> {
    let (_, number, protocols) =
        SERVICES.iter().find(|(known, ..)| *known == name).ok_or(Unknown::Name)?;
    if protocols.contains(&protocol) { Ok(*number) } else { Err(Unknown::Protocol(*number)) }
}

/// Every known name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::{SERVICES, Unknown, number_of};
    use crate::socket::Protocol;

    #[test]
    fn the_table_is_sorted_and_each_name_is_there_once() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(SERVICES.len() >= 150, "{}", SERVICES.len());
        assert!(SERVICES.iter().all(|(_, number, protocols)| *number > 0 && !protocols.is_empty()));
    }

    #[test]
    fn well_known_names() {
        for (name, protocol, number) in [
            ("https", Protocol::Tcp, 443),
            ("https", Protocol::Udp, 443),
            ("http", Protocol::Tcp, 80),
            ("domain", Protocol::Udp, 53),
            ("postgresql", Protocol::Tcp, 5432),
            ("redis", Protocol::Tcp, 6379),
        ] {
            assert_eq!(number_of(name, protocol), Ok(number), "{name}/{protocol}");
        }
        assert_eq!(number_of("ssh", Protocol::Udp), Err(Unknown::Protocol(22)));
        assert_eq!(number_of("nope", Protocol::Tcp), Err(Unknown::Name));
    }
}
