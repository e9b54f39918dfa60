//! `expose` in code: what may be open, entry by entry.

use std::{
    fmt::{self, Display},
    panic::Location,
};

use super::lines::{Call, Lines};
use crate::{
    socket::{Port, PortRange},
    spec::model::{Publish, Speaks},
};

/// A port, or a range of ports, that may be open: an entry of `expose`.
///
/// A single port must be open unless it is [`optional`](Self::optional); a range may be open, and
/// need not be. [`SpecBuilder::allow`](crate::spec::SpecBuilder::allow) takes a bare port, too.
///
/// ```
/// use portlid::{Port, Spec, spec::{Allow, Speaks}};
///
/// let metrics = Allow::port(Port::tcp(9090))
///     .optional()
///     .bind("loopback")
///     .process("prometheus")
///     .user(65534)
///     .speaks(Speaks::Http)
///     .why("metrics, scraped by the sidecar")
///     .owner("team-observability")
///     .until("2099-01-31");
/// let spec = Spec::image("web:1").allow(metrics).build()?;
/// assert_eq!(spec.expose[0].user, Some(65534));
/// # Ok::<(), portlid::spec::InvalidSpec>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is allowed until a spec allows it"]
pub struct Allow {
    port: String,
    /// `None` where a port alone was made one.
    call: Option<Call>,
    more: Lines,
}

impl Allow {
    /// A [`Port`], a [`PortRange`], or in the words of the language: `80`, `"80/tcp"`,
    /// `"8000-8010/udp"`, `"https/tcp"`.
    ///
    /// ```
    /// # use portlid::{Port, spec::Allow};
    /// let dns = Allow::port("domain/udp");
    /// let web = Allow::port(Port::tcp(80));
    /// ```
    #[track_caller]
    pub fn port(port: impl Display) -> Self {
        Self { port: port.to_string(), call: Some(Location::caller()), more: Lines::default() }
    }

    /// It may stay closed: the key `optional`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let debug = Allow::port(9229).optional();
    /// ```
    #[track_caller]
    pub fn optional(mut self) -> Self {
        self.more.raw("optional", "true", Location::caller());
        self
    }

    /// How wide it may listen at most, a [`Bind`](crate::socket::Bind) or its words: `any`,
    /// `loopback`, an address, a network in CIDR notation. The key `bind`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let admin = Allow::port(8081).bind("10.0.0.0/8");
    /// ```
    #[track_caller]
    pub fn bind(self, widest: impl Display) -> Self {
        self.text("bind", &widest.to_string(), Location::caller())
    }

    /// The executable that must own it: the key `process`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let web = Allow::port(80).process("nginx");
    /// ```
    #[track_caller]
    pub fn process(self, name: impl AsRef<str>) -> Self {
        self.text("process", name.as_ref(), Location::caller())
    }

    /// The uid of every process that holds it: the key `user`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let web = Allow::port(8080).user(1000);
    /// ```
    #[track_caller]
    pub fn user(self, uid: u32) -> Self {
        self.text("user", &uid.to_string(), Location::caller())
    }

    /// What it must speak: the key `speaks`.
    ///
    /// ```
    /// # use portlid::spec::{Allow, Speaks};
    /// let web = Allow::port("https/tcp").speaks(Speaks::Tls);
    /// ```
    #[track_caller]
    pub fn speaks(self, protocol: Speaks) -> Self {
        self.text("speaks", protocol.as_str(), Location::caller())
    }

    /// Whether it may, must or must not be published on the host: the key `publish`.
    ///
    /// ```
    /// # use portlid::spec::{Allow, Publish};
    /// let admin = Allow::port(8081).publish(Publish::Never);
    /// ```
    #[track_caller]
    pub fn publish(self, publish: Publish) -> Self {
        let word = match publish {
            Publish::Allowed => "allowed",
            Publish::Required => "required",
            Publish::Never => "never",
        };
        self.text("publish", word, Location::caller())
    }

    /// Why it is open: the key `why`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let metrics = Allow::port(9090).why("scraped by the sidecar");
    /// ```
    #[track_caller]
    pub fn why(self, reason: impl AsRef<str>) -> Self {
        self.text("why", reason.as_ref(), Location::caller())
    }

    /// Who answers for it: the key `owner`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let metrics = Allow::port(9090).owner("team-observability");
    /// ```
    #[track_caller]
    pub fn owner(self, name: impl AsRef<str>) -> Self {
        self.text("owner", name.as_ref(), Location::caller())
    }

    /// The last day of the allowance, in UTC, as `2099-01-31`: the key `until`.
    ///
    /// ```
    /// # use portlid::spec::Allow;
    /// let legacy = Allow::port(21).until("2099-01-31");
    /// ```
    #[track_caller]
    pub fn until(self, day: impl Display) -> Self {
        self.text("until", &day.to_string(), Location::caller())
    }

    fn text(mut self, key: &str, text: &str, call: Call) -> Self {
        self.more.text(key, text, call);
        self
    }

    /// The lines of the entry; `call` is that of `allow`.
    pub(super) fn lines(self, call: Call) -> Lines {
        let (mut lines, call) = (Lines::default(), self.call.unwrap_or(call));
        if self.more.is_empty() {
            lines.item(&self.port, call);
        } else {
            let mut keys = Lines::default();
            keys.text("port", &self.port, call);
            keys.append(&self.more);
            lines.item_of(keys);
        }
        lines
    }

    /// Just a port.
    fn bare(port: String) -> Self {
        Self { port, call: None, more: Lines::default() }
    }
}

impl fmt::Debug for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allow").field("port", &self.port).finish_non_exhaustive()
    }
}

impl From<Port> for Allow {
    fn from(port: Port) -> Self {
        Self::bare(port.to_string())
    }
}

impl From<PortRange> for Allow {
    fn from(ports: PortRange) -> Self {
        Self::bare(ports.to_string())
    }
}

/// A TCP port.
impl From<u16> for Allow {
    fn from(number: u16) -> Self {
        Self::bare(Port::tcp(number).to_string())
    }
}

/// In the words of the language: `"80/tcp"`, `"8000-8010/udp"`, `"https/tcp"`.
impl From<&str> for Allow {
    fn from(port: &str) -> Self {
        Self::bare(port.to_owned())
    }
}

/// In the words of the language.
impl From<String> for Allow {
    fn from(port: String) -> Self {
        Self::bare(port)
    }
}
