//! What `portlid explain` says of each rule beyond its one line: why it matters, how to mend it.
//!
//! Texts only, in Markdown, wrapped at 92 columns. They never hold anything foreign.

use super::Rule;

/// The long story of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub mend: &'static str,
    /// How common servers are told, where that helps.
    pub servers: Option<&'static str>,
}

/// Common servers, told to listen where nobody else can reach them.
const CLOSE: &str = "\
nginx        `listen 127.0.0.1:8080;`, or no `listen` at all in that `server`
Node.js      `server.listen(3000, '127.0.0.1')`; `HOST=127.0.0.1` for Next.js, Nuxt, Remix; start
             it without `--inspect`, and look for it in `NODE_OPTIONS`
Java         `server.address=127.0.0.1` and `management.server.address` for Spring Boot; take
             `-agentlib:jdwp` and `-Dcom.sun.management.jmxremote.port` out of `JAVA_TOOL_OPTIONS`
PostgreSQL   `listen_addresses = 'localhost'`, or `''` for its Unix socket alone
Redis        `bind 127.0.0.1 -::1`, or `port 0` with `unixsocket`
RabbitMQ     `listeners.tcp.local = 127.0.0.1:5672`; `management.tcp.ip = 127.0.0.1`;
             `ERL_EPMD_ADDRESS=127.0.0.1` for epmd on 4369; `kernel inet_dist_use_interface`
Go           `http.ListenAndServe(\"127.0.0.1:8080\", ...)`; `net/http/pprof` on a mux of its own
Python       `gunicorn --bind 127.0.0.1:8000`, `uvicorn --host 127.0.0.1`; no debug server
";

/// The same, told to listen where neighbours can reach them.
const OPEN: &str = "\
nginx        `listen 80; listen [::]:80;`
Node.js      `server.listen(3000, '0.0.0.0')`; `HOST=0.0.0.0` for Next.js, Nuxt, Remix
Java         `server.address=0.0.0.0` for Spring Boot
PostgreSQL   `listen_addresses = '*'`
Redis        `bind * -::*`, with `requirepass` or ACLs: `protected-mode` refuses strangers
RabbitMQ     `listeners.tcp.default = 5672`
Go           `http.ListenAndServe(\":8080\", ...)`
Python       `gunicorn --bind 0.0.0.0:8000`, `uvicorn --host 0.0.0.0`
";

impl Rule {
    /// Why it matters, and how to mend it.
    #[must_use]
    pub fn explained(self) -> Explained {
        let (why, mend) = self.texts();
        let servers = match self {
            Self::UnlistedListener | Self::BoundTooWide | Self::UnlistedReachable => Some(CLOSE),
            Self::MissingListener | Self::LoopbackOnly => Some(OPEN),
            _ => None,
        };
        Explained { why, mend, servers }
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::UnlistedListener => (
                "\
Every port that is open to a network is something to exploit, and a trivial scan finds it.
`EXPOSE` and `-p` do not decide this: whatever listens on 0.0.0.0 or [::] can be reached by
every container on the same network, and by the host. Debug agents, metrics and admin pages
are opened this way, and nobody notices, since everything works.",
                "\
Find out who needs it. Nobody: switch it off. The container itself: bind it to 127.0.0.1.
Others: list it under `expose` with a `why`, as narrow as it goes (`bind`, `process`, `user`).",
            ),
            Self::MissingListener => (
                "\
The image does not do what its spec says. Either the server did not come up, or the spec
allows a port that nobody uses any more, which is a door left on the list.",
                "\
Read the container's log below the finding. Give it what it needs to start (`run.env`,
`run.command`, `needs`), or more time (`ready.within`). If the port is only there sometimes,
make the entry `optional: true`; if never, remove it.",
            ),
            Self::LoopbackOnly => (
                "\
Inside a container loopback is the container's own: no neighbour, no published port and no
load balancer ever reaches it. Such an image works in its own health check and nowhere else.",
                "\
Bind it to 0.0.0.0 (and [::]). If only the container itself is meant to use it, say
`bind: loopback` in the entry.",
            ),
            Self::BoundTooWide => (
                "\
The port may be open, but not to everybody: the spec says where, and the socket is wider.
What was agreed as local to the container is open to its network.",
                "\
Bind the server to the address that the entry allows, or widen the entry's `bind` if that
was agreed.",
            ),
            Self::WrongProcess => (
                "\
The right port, held by the wrong program: a shell or a debug proxy in front of the server,
or something that took the port before it. The port's number alone proves nothing.",
                "\
See who holds it in the finding. A wrapper that hands its socket to the server holds it,
too: let it close it (`exec`). If the new program is right, change `process`; it is the
executable's file name, or the name that the process gives itself.",
            ),
            Self::WrongUser => (
                "\
A server that runs as root, or as a user that owns more than it needs, hands that to whoever
breaks it. The spec fixes the user so that a change of the image cannot change it silently.",
                "\
Set `USER` in the Dockerfile, or the server's own setting (`user www-data;` for nginx). A
port below 1024 needs no root in a container: the engine allows it to any user.",
            ),
            Self::WrongProtocol => (
                "\
Plain HTTP where TLS was agreed, a database where a web server should be, or nothing that
answers at all: the port is allowed for one thing and does another.",
                "\
Compare what was recognised with the entry's `speaks`. A server that needs longer for its
first answer needs a better `ready`.",
            ),
            Self::UnlistedExpose => (
                "\
`EXPOSE` is an invitation: `docker run -P`, many orchestrators and compose files publish what
the image declares, and people read it as the list of ports that are meant to be open.",
                "\
Remove the `EXPOSE` line. If it comes from the base image, it cannot be taken back: build
from another base, or list the port as `optional: true` with a `why`.",
            ),
            Self::SilentExpose => (
                "\
The image declares a port on which nothing listens. Whoever publishes all declared ports
opens a way to whatever takes that port later.",
                "Remove the `EXPOSE` line, or start what it was for.",
            ),
            Self::UndeclaredPort => (
                "\
An allowed port that the image does not declare. It works; but whoever reads the image's
`EXPOSE` is not told of it.",
                "Add `EXPOSE` to the Dockerfile. As a note it changes no verdict.",
            ),
            Self::UnlistedPublish => (
                "\
What is published can be reached from outside the host, past most host firewalls, since
engines write their own rules before them.",
                "\
Do not publish it; or if it is to be, allow it: an entry for the port, without
`publish: never`.",
            ),
            Self::PublishTooWide => (
                "\
`-p 8080:80` publishes on every address of the host, on both IP families, also on those that
face the internet.",
                "\
Publish on one address: `-p 127.0.0.1:8080:80`; in compose files `\"127.0.0.1:8080:80\"`; or
change the daemon's `ip` setting.",
            ),
            Self::DeadPublish => (
                "\
The host's port accepts connections (the engine's proxy does), and nothing is behind it.
Health checks that only connect are green, and the next thing that takes the port is open to
the world.",
                "\
Stop publishing it, or start what it was for. Check the container's side of the mapping:
`-p 8080:80` needs a server on 80, not on 8080.",
            ),
            Self::MissingPublish => (
                "The spec says that the port must be published, and it is not.",
                "\
Publish it: `run.publish` in the spec, `-p` for a container that runs already; or change
`publish: required`.",
            ),
            Self::UnlistedReachable => (
                "\
A neighbour gets an answer on a port where no allowed socket listens: packets are redirected
inside the container (iptables, nftables, eBPF), so the table of listeners does not tell the
whole story.",
                "\
Look at the redirects: `nft list ruleset` or `iptables -t nat -S` inside the container.
Remove the rule, or list the port.",
            ),
            Self::Unreachable => (
                "\
The server listens, but a neighbour's connection is refused or not answered: a firewall
inside the image, a full backlog, or a server that accepts from known addresses alone.",
                "\
Look for firewall rules inside the container. If it is to be closed to neighbours, say
`bind: loopback` and bind it so.",
            ),
            Self::Flapping => (
                "\
The port was open and closed again while it was watched: a server that crashes and comes
back, or a supervisor that restarts it. In production that is an outage.",
                "\
Read the container's log. If it is a server that opens its port before it is ready for good,
state a better `ready`.",
            ),
            Self::EphemeralUdp => (
                "\
An unconnected UDP socket on a port that the kernel chose is most likely a client's, waiting
for an answer, such as a resolver. Whoever guesses the port can send to it while it is there.",
                "\
Nothing, if it is a client. If it is a server, bind it to a fixed port and list it. Set
`ephemeral-udp: fail` under `rules` where no client is expected either.",
            ),
            Self::LoopbackListener => (
                "\
Something listens inside the container alone. No neighbour reaches it, but every process in
the container does, and so does whoever breaks into one of them.",
                "\
Nothing, if that is meant: it is a note. To have it on record, list it with
`bind: loopback`.",
            ),
            Self::Expired => (
                "\
The port was allowed until a day, and that day has passed. What was agreed as temporary is
still there.",
                "\
Close the port and remove the entry; or have the exception agreed once more and move
`until`.",
            ),
            Self::UnusedEntry => (
                "\
An optional entry that nothing used is a door that stays on the list: what opens it later is
allowed without anybody having looked.",
                "\
Remove the entry, or say under `run` what makes the image use it.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_explained_in_lines_that_fit() {
        for rule in Rule::ALL {
            let Explained { why, mend, servers } = rule.explained();
            for text in [why, mend].into_iter().chain(servers) {
                assert!(!text.trim().is_empty(), "{rule}");
                assert!(text.is_ascii(), "{rule}");
                for line in text.lines() {
                    assert!(line.len() <= 98, "{rule}: {line}");
                }
            }
        }
    }

    #[test]
    fn the_servers_that_people_run_are_named() {
        for server in ["nginx", "Node", "Java", "PostgreSQL", "Redis", "RabbitMQ", "Go "] {
            assert!(CLOSE.contains(server) && OPEN.contains(server), "{server}");
        }
    }
}
