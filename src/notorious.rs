//! What is known of port numbers: what usually listens there, and why that is dangerous.
//!
//! Only ever used to explain a finding. A verdict never depends on it.

use crate::socket::{Port, Protocol};

/// What usually listens on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The service.
    pub service: &'static str,
    /// Why reaching it is dangerous, if it is notorious for that.
    pub risk: Option<&'static str>,
}

/// What usually listens on `port`, if it is well known.
#[must_use]
pub fn known(port: Port) -> Option<Known> {
    let table = match port.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Udplite | Protocol::Sctp | Protocol::Raw | Protocol::Packet => return None,
    };
    table
        .iter()
        .find(|(number, ..)| *number == port.number)
        .map(|&(_, service, risk)| Known { service, risk: (!risk.is_empty()).then_some(risk) })
}

const TCP: &[(u16, &str, &str)] = &[
    (21, "FTP", "passwords travel in the clear"),
    (22, "SSH", "a login to the container, and a second way in to keep patched"),
    (23, "Telnet", "a login in the clear"),
    (25, "SMTP", "an open relay sends spam in your name"),
    (53, "DNS", ""),
    (80, "HTTP", ""),
    (111, "rpcbind", "lists every RPC service to anyone"),
    (443, "HTTPS", ""),
    (445, "SMB", "a favourite of worms"),
    (873, "rsync", "hands out files without a login by default"),
    (1099, "Java RMI registry", "deserialises what it is sent: remote code execution"),
    (1433, "SQL Server", ""),
    (2375, "Docker API", "no password: whoever connects is root on the host"),
    (2376, "Docker API over TLS", "a leaked client key is root on the host"),
    (2379, "etcd client", "holds every secret of a cluster"),
    (2380, "etcd peer", "joins a cluster's consensus"),
    (3000, "Node.js, Grafana and other app servers", ""),
    (3306, "MySQL", ""),
    (4040, "Spark UI", "shows the environment, secrets included"),
    (4369, "epmd, Erlang's port mapper", "with the cookie, anyone runs code on the node"),
    (4444, "a debugger or Selenium", "runs code for whoever connects"),
    (5000, "Flask, a registry and other app servers", ""),
    (5005, "JDWP, Java's debugger", "runs code for whoever connects"),
    (5432, "PostgreSQL", ""),
    (5555, "adb", "a shell without a password"),
    (5601, "Kibana", ""),
    (5672, "AMQP", ""),
    (5678, "debugpy, Python's debugger", "runs code for whoever connects"),
    (5858, "the old Node.js debugger", "runs code for whoever connects"),
    (5900, "VNC", "a screen and a keyboard, often without a password"),
    (6060, "Go's pprof", "shows memory and stalls the process on request"),
    (6379, "Redis", "without a password anyone reads, writes and often runs code"),
    (7077, "Spark master", "runs jobs for whoever connects"),
    (7199, "Cassandra JMX", "runs code without a login by default"),
    (8000, "a development server, or JDWP", "JDWP runs code for whoever connects"),
    (8080, "an app server", ""),
    (8443, "an app server over TLS", ""),
    (8500, "Consul", "its API runs scripts where they are enabled"),
    (8787, "a Java debugger", "runs code for whoever connects"),
    (9000, "PHP-FPM, MinIO and others", "PHP-FPM runs code for whoever connects"),
    (9090, "Prometheus", "shows the layout of what it watches"),
    (9092, "Kafka", ""),
    (9200, "Elasticsearch", "without security anyone reads and deletes everything"),
    (9229, "the Node.js inspector", "runs code for whoever connects"),
    (9300, "Elasticsearch transport", "joins the cluster"),
    (10250, "kubelet", "runs commands in every pod of the node"),
    (11211, "Memcached", "no login: anyone reads and writes"),
    (15672, "RabbitMQ management", ""),
    (25672, "RabbitMQ's Erlang distribution", "with the cookie, anyone runs code on the node"),
    (27017, "MongoDB", "without a login anyone reads and deletes everything"),
    (50070, "HDFS NameNode", ""),
    (61616, "ActiveMQ", "deserialises what it is sent: remote code execution"),
];

const UDP: &[(u16, &str, &str)] = &[
    (53, "DNS", "an open resolver amplifies attacks on others"),
    (69, "TFTP", "hands out files without a login"),
    (111, "rpcbind", "amplifies attacks on others"),
    (123, "NTP", ""),
    (161, "SNMP", "with the default community anyone reads the configuration"),
    (389, "CLDAP", "amplifies attacks on others"),
    (443, "HTTP/3", ""),
    (514, "syslog", "anyone writes your log"),
    (1900, "SSDP", "amplifies attacks on others"),
    (4789, "VXLAN", "whoever sends gets frames into the overlay network"),
    (5353, "mDNS", ""),
    (8125, "StatsD", ""),
    (11211, "Memcached", "amplifies attacks on others fifty-thousandfold"),
];

#[cfg(test)]
mod tests {
    use super::{TCP, UDP, known};
    use crate::socket::Port;

    #[test]
    fn the_notorious_ones_of_the_contract_are_known() {
        for number in [2375, 5005, 8000, 9229, 4369, 6379] {
            assert!(known(Port::tcp(number)).is_some_and(|known| known.risk.is_some()), "{number}");
        }
        assert_eq!(known(Port::udp(9229)), None);
    }

    #[test]
    fn tables_are_sorted_without_doubles() {
        for table in [TCP, UDP] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
