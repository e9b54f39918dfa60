//! What the engine says of a container, converted once.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use bollard::models::{ContainerInspectResponse, HealthStatusEnum, PortBinding};

use super::{
    client::{Engine, patience, request, untrue},
    error::{EngineError, Unfit},
    lenient,
};
use crate::{
    observation::Published,
    socket::{PortRange, canonical},
};

/// What the engine says of a container at one moment.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The full id.
    pub id: String,
    /// The id of the image it was made from.
    pub image: String,
    /// Whether it lives, and since when.
    pub life: Life,
    /// The addresses that neighbours reach it by.
    pub addresses: Vec<IpAddr>,
    /// The hardware addresses that belong to its IPv4 addresses, as far as the engine tells them.
    pub hardware: BTreeMap<IpAddr, String>,
    /// The names of the networks that it is on.
    pub networks: Vec<String>,
    /// What is published on the host.
    pub published: Vec<Published>,
    /// Where the engine keeps the container's network namespace.
    pub sandbox: Option<PathBuf>,
    /// The OCI runtime; `None` if the engine does not name it.
    pub runtime: Option<String>,
    /// The network mode: `bridge`, `host`, `container:...`, a network's name.
    pub network_mode: String,
    /// The state of its health check; `None` if it has none.
    pub healthy: Option<bool>,
    /// The names of its anonymous volumes.
    pub anonymous_volumes: Vec<String>,
    /// What the engine says of addresses and published ports, and nobody understands.
    pub unread: Vec<String>,
    /// Network settings of the kernel that it was created with.
    pub sysctls: HashMap<String, String>,
}

/// One life of a container.
#[derive(Clone, Debug)]
pub struct Life {
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it is frozen.
    pub is_paused: bool,
    /// The engine's id of its first process; 0 if it does not run.
    pub pid: u32,
    /// When it was started, as the engine writes it.
    pub started_at: String,
    /// How often it was restarted.
    pub restarts: i64,
    /// The exit status, once it ended.
    pub exit_code: i64,
    /// Whether the kernel killed it for want of memory.
    pub out_of_memory: bool,
}

impl Life {
    /// Whether both are the same life, perhaps over in one of them.
    #[must_use]
    pub fn began_with(&self, other: &Self) -> bool {
        (&self.started_at, self.restarts) == (&other.started_at, other.restarts)
    }

    /// Whether both are the same life of the same first process. A child that was killed for want
    /// of memory changes nothing of that.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.is_running, self.pid, &self.started_at, self.restarts)
            == (other.is_running, other.pid, &other.started_at, other.restarts)
    }
}

impl Inspection {
    /// The inode of the network namespace that the engine made for the container, if this process
    /// can see it. An engine with mounts of its own (rootless Podman) leaves an empty file there.
    #[must_use]
    pub fn network_namespace(&self) -> Option<u64> {
        /// `NSFS_MAGIC` of the kernel's `include/uapi/linux/magic.h`.
        const NAMESPACES: u64 = 0x6e73_6673;
        let path = self.sandbox.as_ref()?;
        // Where the engine's mounts are its own, an empty file is all that is seen of it here.
        let file_system = rustix::fs::statfs(path).ok()?;
        if u64::try_from(file_system.f_type).ok()? != NAMESPACES {
            return None;
        }
        std::fs::metadata(path).ok().map(|metadata| metadata.ino())
    }

    /// Whether the container can be judged by its own network namespace.
    ///
    /// # Errors
    ///
    /// If it shares a namespace.
    pub fn is_fit(&self) -> Result<(), Unfit> {
        if self.life.is_paused {
            return Err(Unfit::Paused);
        }
        let mode = self.network_mode.as_str();
        if mode == "host" || mode.starts_with("container:") || mode.starts_with("ns:") {
            return Err(Unfit::SharedNetwork(mode.to_owned()));
        }
        Ok(())
    }

    /// Why the host may not see the container's sockets, if it may not. Then nothing but a scan
    /// tells of them.
    #[must_use]
    pub fn hides_its_sockets(&self) -> Option<Unfit> {
        let runtime = self.runtime.as_deref().unwrap_or_default();
        let shown = || crate::foreign::shown(runtime, 60);
        match kernel(runtime) {
            Kernel::Hosts => None,
            Kernel::Own => Some(Unfit::OwnKernel(shown())),
            Kernel::Unknown => Some(Unfit::UnknownRuntime(shown())),
        }
    }
}

/// Which kernel has the sockets of a runtime's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Hosts,
    /// A virtual machine's, or one in user space.
    Own,
    Unknown,
}

/// Judges a runtime by its name: as it is registered with the engine, as a path, or as containerd
/// names its shims (`io.containerd.runc.v2`).
fn kernel(runtime: &str) -> Kernel {
    /// The last two are `runc` with something done before.
    const HOSTS: [&str; 6] = ["", "runc", "crun", "youki", "nvidia", "sysbox-runc"];
    const OWN: [&str; 7] = ["runsc", "gvisor", "kata", "firecracker", "krun", "crun-vm", "urunc"];
    let name = runtime.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("io.containerd.").unwrap_or(name);
    let name = match name.rsplit_once(".v") {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    if HOSTS.contains(&name) {
        Kernel::Hosts
    } else if OWN.iter().any(|own| {
        // `kata-qemu`, `runsc-kvm`, `aws.firecracker`.
        name.split(['-', '.', '_']).any(|part| part == *own) || name == *own
    }) {
        Kernel::Own
    } else {
        Kernel::Unknown
    }
}

impl Engine {
    /// Asks the engine about a container.
    ///
    /// # Errors
    ///
    /// If the engine does not answer, or knows no such container.
    pub async fn inspect(&self, container: &str) -> Result<Inspection, EngineError> {
        let what = format!("inspect container `{}`", crate::foreign::shown(container, 80));
        let inspect = lenient::inspect(&self.docker, container);
        let response = request(what.clone(), patience(), inspect).await?;
        is_about(&response, container).map_err(|why| untrue(what, why))?;
        let mut seen = convert(response);
        // Podman calls every runtime `oci`.
        if seen.runtime.as_deref().is_none_or(|runtime| matches!(runtime, "" | "oci"))
            && let Some(runtime) = &self.default_runtime
        {
            seen.runtime = Some(runtime.clone());
        }
        Ok(seen)
    }
}

/// Whether the answer is whole, and about the container of that name or id. What is not said must
/// not be taken for nothing, nor another container's word for this one's.
fn is_about(response: &ContainerInspectResponse, asked: &str) -> Result<(), &'static str> {
    let id = response.id.as_deref().unwrap_or_default();
    let name = response.name.as_deref().unwrap_or_default();
    let is_whole = !id.is_empty()
        && response.state.as_ref().is_some_and(|state| state.running.is_some())
        && response.network_settings.is_some()
        && response.host_config.is_some();
    if !is_whole {
        return Err("its answer is not whole");
    }
    let asked = asked.trim_start_matches('/');
    // The shortest id that the command line tools print has 12 digits.
    let is_short = asked.len() >= 12 && id.starts_with(asked);
    if id == asked || is_short || name.trim_start_matches('/') == asked {
        Ok(())
    } else {
        Err("it answers about another container")
    }
}

fn convert(response: ContainerInspectResponse) -> Inspection {
    let state = response.state.unwrap_or_default();
    let network = response.network_settings.unwrap_or_default();
    let host = response.host_config.unwrap_or_default();
    let healthy = state.health.and_then(|health| health.status).and_then(|status| match status {
        HealthStatusEnum::HEALTHY => Some(true),
        HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY => Some(false),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    });
    let networks = network.networks.unwrap_or_default();
    // In an order, because two inspections are compared.
    let mut names: Vec<String> = networks.keys().cloned().collect();
    names.sort();
    let hardware = networks
        .values()
        .filter_map(|endpoint| {
            let address = endpoint.ip_address.as_ref()?.parse().ok()?;
            let hardware = endpoint.mac_address.clone().filter(|text| !text.is_empty())?;
            Some((address, hardware))
        })
        .collect();
    let mut unread = Vec::new();
    let mut addresses: Vec<IpAddr> = networks
        .into_values()
        .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
        .flatten()
        .filter(|address| !address.is_empty())
        .filter_map(|address| address.parse().map_err(|_| unread.push(address)).ok())
        // Without the name of an interface a link-local address leads nowhere.
        .filter(|address| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    addresses.sort();
    addresses.dedup();
    Inspection {
        id: response.id.unwrap_or_default(),
        image: response.image.unwrap_or_default(),
        life: Life {
            is_running: state.running.unwrap_or_default(),
            is_paused: state.paused.unwrap_or_default(),
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default(),
            started_at: state.started_at.unwrap_or_default(),
            restarts: response.restart_count.unwrap_or_default(),
            exit_code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
        },
        addresses,
        hardware,
        networks: names,
        published: published(network.ports.unwrap_or_default(), &mut unread),
        sandbox: network.sandbox_key.filter(|key| !key.is_empty()).map(PathBuf::from),
        runtime: host.runtime,
        network_mode: host.network_mode.unwrap_or_default(),
        healthy,
        anonymous_volumes: response
            .mounts
            .unwrap_or_default()
            .into_iter()
            .filter_map(|mount| mount.name)
            // Engines name anonymous volumes by 256 random bits.
            .filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .collect(),
        unread,
        sysctls: host.sysctls.unwrap_or_default(),
    }
}

/// Every binding of every port. Engines write "every address" as `0.0.0.0`, `::` or nothing.
fn published(
    ports: HashMap<String, Option<Vec<PortBinding>>>,
    unread: &mut Vec<String>,
) -> Vec<Published> {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let Ok(range) = port.parse::<PortRange>() else {
            unread.push(port);
            continue;
        };
        for binding in bindings.unwrap_or_default() {
            let host = match binding.host_ip.as_deref() {
                None | Some("" | "0.0.0.0") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Some("::") => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                // What cannot be read is taken for the widest: it must not pass for narrow.
                Some(text) => text
                    .trim_matches(['[', ']'])
                    .parse()
                    .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), canonical),
            };
            let host_port =
                binding.host_port.and_then(|port| port.parse().ok()).unwrap_or_default();
            all.extend(range.ports().map(|port| Published { port, host, host_port }));
        }
    }
    all.sort_by_key(|published| (published.port, published.host, published.host_port));
    all
}

#[cfg(test)]
mod tests {
    use super::{convert, is_about};

    /// Parts of real answers of Docker 20.10, and of Podman 4.3 where it differs.
    fn inspection(json: &str) -> super::Inspection {
        convert(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_binding_is_kept_with_its_host_address() {
        let seen = inspection(
            r#"{"Id":"c0ffee","NetworkSettings":{"Ports":{
                "80/tcp":[{"HostIp":"0.0.0.0","HostPort":"32768"},{"HostIp":"::","HostPort":"32769"}],
                "81/tcp":[{"HostIp":"","HostPort":"81"}],
                "82/tcp":[{"HostIp":"127.0.0.1","HostPort":"82"}],
                "83/udp":null}}}"#,
        );
        let shown: Vec<String> = seen
            .published
            .iter()
            .map(|published| format!("{} {}", published.port, published.on_host()))
            .collect();
        assert_eq!(
            shown,
            [
                "80/tcp 0.0.0.0:32768",
                "80/tcp [::]:32769",
                "81/tcp 0.0.0.0:81",
                "82/tcp 127.0.0.1:82"
            ]
        );
    }

    /// What is not understood is kept, and two words on the same networks are equal.
    #[test]
    fn nothing_that_the_engine_says_is_dropped() {
        let json = r#"{"State":{"Paused":true},"NetworkSettings":{"Ports":{"80/ton":null},"Networks":{
            "b":{"IPAddress":"172.17.0.2"},"a":{"IPAddress":"","GlobalIPv6Address":"here"},"c":{}}}}"#;
        for _ in 0..8 {
            let mut seen = inspection(json);
            seen.unread.sort();
            assert_eq!(seen.unread, ["80/ton", "here"]);
            assert_eq!(seen.networks, ["a", "b", "c"]);
            assert!(matches!(seen.is_fit(), Err(super::Unfit::Paused)));
        }
    }

    #[test]
    fn only_a_namespace_is_taken_for_one() {
        let at = |path: &std::path::Path| {
            let path = path.display();
            inspection(&format!(r#"{{"NetworkSettings":{{"SandboxKey":"{path}"}}}}"#))
        };
        let own = at(std::path::Path::new("/proc/self/ns/net")).network_namespace().unwrap();
        let link = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(link.to_str().unwrap(), format!("net:[{own}]"));
        // What is left in sight of a mount that is another's.
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(at(file.path()).network_namespace(), None);
        assert_eq!(at(std::path::Path::new("/nonexistent")).network_namespace(), None);
    }

    #[test]
    fn only_a_whole_answer_about_the_same_container_counts() {
        let id = "c0ffee".repeat(10);
        let whole = format!(
            r#"{{"Id":"{id}","Name":"/web-1","State":{{"Running":true}},"NetworkSettings":{{}},"HostConfig":{{}}}}"#
        );
        let check = |json: &str, asked: &str| is_about(&serde_json::from_str(json).unwrap(), asked);
        for asked in [id.as_str(), &id[..12], "web-1", "/web-1"] {
            assert_eq!(check(&whole, asked), Ok(()), "{asked}");
        }
        for asked in ["web", "web-10", "", "c0ffee", &"deadbeef".repeat(8)] {
            assert_eq!(check(&whole, asked), Err("it answers about another container"), "{asked}");
        }
        for part in ["\"Running\":true", "\"NetworkSettings\":{},", ",\"HostConfig\":{}"] {
            assert_eq!(check(&whole.replace(part, ""), "web-1"), Err("its answer is not whole"));
        }
        assert_eq!(check("{}", "web-1"), Err("its answer is not whole"));
    }

    #[test]
    fn a_container_on_a_namespace_of_others_is_unfit() {
        for (mode, fit) in [
            ("default", true),
            ("bridge", true),
            ("my-network", true),
            ("host", false),
            ("container:abc", false),
            ("ns:/run/netns/x", false),
        ] {
            let seen = inspection(&format!(r#"{{"HostConfig":{{"NetworkMode":"{mode}"}}}}"#));
            assert_eq!(seen.is_fit().is_ok(), fit, "{mode}");
        }
    }

    #[test]
    fn a_runtimes_name_tells_whose_kernel_it_is() {
        use super::{Kernel, Unfit, kernel};
        for (runtime, expected) in [
            ("runc", Kernel::Hosts),
            ("io.containerd.runc.v2", Kernel::Hosts),
            ("io.containerd.runc.v1", Kernel::Hosts),
            ("/usr/bin/crun", Kernel::Hosts),
            ("youki", Kernel::Hosts),
            ("nvidia", Kernel::Hosts),
            ("runsc", Kernel::Own),
            ("runsc-kvm", Kernel::Own),
            ("io.containerd.runsc.v1", Kernel::Own),
            ("kata", Kernel::Own),
            ("kata-qemu", Kernel::Own),
            ("kata-runtime", Kernel::Own),
            ("io.containerd.kata.v2", Kernel::Own),
            ("io.containerd.kata-fc.v2", Kernel::Own),
            ("aws.firecracker", Kernel::Own),
            ("krun", Kernel::Own),
            ("crun-vm", Kernel::Own),
            ("runc2", Kernel::Unknown),
            ("RUNC", Kernel::Unknown),
            ("my-runc", Kernel::Unknown),
            ("runc.vx", Kernel::Unknown),
            ("io.containerd.wasmtime.v1", Kernel::Unknown),
        ] {
            assert_eq!(kernel(runtime), expected, "{runtime}");
        }
        let seen = inspection(r#"{"HostConfig":{"NetworkMode":"bridge","Runtime":"runsc"}}"#);
        assert!(
            matches!(seen.hides_its_sockets(), Some(Unfit::OwnKernel(name)) if name == "runsc")
        );
        let seen = inspection(r#"{"HostConfig":{"NetworkMode":"bridge","Runtime":"runc"}}"#);
        assert!(seen.hides_its_sockets().is_none());
    }
}
