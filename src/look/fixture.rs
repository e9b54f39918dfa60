//! A `/proc` made of files, for tests: everything that the look reads, and each thing breakable.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Target;

pub(super) const CONTAINER: &str =
    "4f0c9a3b7e2d41f86a5b9c0d1e2f30415263748596a7b8c9dae0f1029384756a";
pub(super) const HOST_NETNS: u64 = 4_026_531_840;
pub(super) const NETNS: u64 = 4_026_532_601;

pub(super) const TCP_HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
pub(super) const TCP6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
pub(super) const UDP_HEADER: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n";
pub(super) const UDP6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";

pub(super) const PACKET_HEADER: &str =
    "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

/// The routes of a namespace whose address is 172.17.0.2.
pub(super) const FIB_TRIE: &str = "Local:\n  |-- 172.17.0.2\n     /32 host LOCAL\n";

/// A line of `net/tcp` for a listener on an address of IPv4.
pub(super) fn listener(address: [u8; 4], port: u16, inode: u64) -> String {
    let address = u32::from_ne_bytes(address);
    format!(
        "   0: {address:08X}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000043fc8d84 100 0 0 10 0                      \n"
    )
}

/// The tree. It is removed when this is dropped.
pub(super) struct FakeProc {
    root: tempfile::TempDir,
}

impl FakeProc {
    /// A host with its process 1, which is the looker too, in the host's namespace.
    pub(super) fn new() -> Self {
        let fake = Self { root: tempfile::tempdir().unwrap() };
        fake.process(1, HOST_NETNS, "0::/init.scope\n");
        symlink("1", fake.root().join("self")).unwrap();
        fake
    }

    /// The same, and a container whose main process is 42.
    pub(super) fn with_container() -> Self {
        let fake = Self::new();
        fake.process(42, NETNS, &format!("0::/system.slice/docker-{CONTAINER}.scope\n"));
        fake
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root().join(file)
    }

    pub(super) fn target(&self) -> Target {
        Target {
            proc_root: self.root().to_owned(),
            pid: 42,
            container: CONTAINER.to_owned(),
            age: Duration::from_millis(100),
        }
    }

    /// A process with empty tables.
    pub(super) fn process(&self, pid: u32, netns: u64, cgroup: &str) {
        let folder = self.root().join(pid.to_string());
        for name in ["ns", "fd", "net"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        symlink(format!("net:[{netns}]"), folder.join("ns/net")).unwrap();
        symlink("user:[4026531837]", folder.join("ns/user")).unwrap();
        symlink("/usr/sbin/app", folder.join("exe")).unwrap();
        let tables = [
            ("tcp", TCP_HEADER),
            ("tcp6", TCP6_HEADER),
            ("udp", UDP_HEADER),
            ("udp6", UDP6_HEADER),
            ("udplite", UDP_HEADER),
            ("udplite6", UDP6_HEADER),
            ("raw", UDP_HEADER),
            ("raw6", UDP6_HEADER),
            ("packet", PACKET_HEADER),
            ("if_inet6", ""),
            ("fib_trie", FIB_TRIE),
        ];
        for (table, text) in tables {
            fs::write(folder.join("net").join(table), text).unwrap();
        }
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        fs::write(folder.join("comm"), "app\n").unwrap();
        fs::write(folder.join("uid_map"), "         0          0 4294967295\n").unwrap();
        let status = format!("Name:\tapp\nUid:\t0\t101\t0\t0\nNStgid:\t{pid}\t7\n");
        fs::write(folder.join("status"), status).unwrap();
        self.life(pid, 'S', 5000);
    }

    /// The process's state and start.
    pub(super) fn life(&self, pid: u32, state: char, started: u64) {
        let zeros = "0 ".repeat(18);
        let text = format!("{pid} (a (b) c) {state} {zeros}{started} 0 0\n");
        fs::write(self.root().join(format!("{pid}/stat")), text).unwrap();
    }

    /// A thread of a process that is as the process itself, which becomes what the kernel shows of
    /// one whose first thread has ended.
    pub(super) fn outlived_by(&self, pid: u32, thread: u32) {
        let folder = self.path(&pid.to_string());
        let (first, other) =
            (folder.join(format!("task/{pid}")), folder.join(format!("task/{thread}")));
        fs::create_dir_all(&first).unwrap();
        fs::create_dir_all(&other).unwrap();
        for file in ["ns", "fd", "net", "exe", "cgroup", "comm", "uid_map", "status"] {
            fs::rename(folder.join(file), other.join(file)).unwrap();
        }
        fs::copy(folder.join("stat"), other.join("stat")).unwrap();
        fs::create_dir(folder.join("fd")).unwrap();
        self.life(pid, 'Z', 5000);
        fs::copy(folder.join("stat"), first.join("stat")).unwrap();
    }

    /// The listeners of process 42's namespace, of IPv4 TCP.
    pub(super) fn listeners(&self, lines: &[String]) {
        fs::write(self.path("42/net/tcp"), format!("{TCP_HEADER}{}", lines.concat())).unwrap();
    }

    /// A file of process 42 with another text.
    pub(super) fn write(&self, file: &str, text: &str) {
        fs::write(self.path(&format!("42/{file}")), text).unwrap();
    }

    /// A file of process 42 that cannot be read: there is a folder in its place.
    pub(super) fn bar(&self, file: &str) {
        self.bar_of(42, file);
    }

    /// The same of another process.
    pub(super) fn bar_of(&self, pid: u32, file: &str) {
        let path = self.path(&format!("{pid}/{file}"));
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
            fs::write(&path, "").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }

    /// A descriptor of a process.
    pub(super) fn descriptor(&self, pid: u32, number: u32, target: &str) {
        symlink(target, self.path(&format!("{pid}/fd/{number}"))).unwrap();
    }

    /// Puts a link in the place of another.
    pub(super) fn relink(&self, file: &str, target: &str) {
        fs::remove_file(self.path(file)).unwrap();
        symlink(target, self.path(file)).unwrap();
    }
}
