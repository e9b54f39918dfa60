//! Whose a process is: told by the id that the engine writes into its control groups and mounts.

use rustix::io::Errno;

use super::{Identity, LookError, Process, contains};

/// Whether the process's control groups carry the container's id, or its mounts do.
///
/// Every engine and driver puts the whole id somewhere into the path: `/docker/ID`,
/// `/system.slice/docker-ID.scope`, `/machine.slice/libpod-ID.scope/container`. Where control groups
/// cannot be delegated (rootless Podman on version 1), the container stays in those of whoever
/// started the engine; but every engine mounts files over `/etc/hosts` and the like from a folder
/// that is called by the id.
pub(super) fn identify(process: &Process, container: &str) -> Result<Identity, LookError> {
    let pid = process.pid();
    // Anything shorter might stand in a path by chance.
    let is_whole = container.len() == 64 && container.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_whole {
        return Ok(Identity::Unverified);
    }
    let text = match process.text("cgroup") {
        Ok(text) => text,
        Err(Errno::NOENT | Errno::SRCH) if process.has_ended() => {
            return Err(LookError::NoProcess { pid });
        }
        Err(errno) => return Err(LookError::unreadable(process.shown("cgroup"), errno)),
    };
    let container = container.to_owned();
    if contains(&text, container.as_bytes())
        || process.text("mountinfo").is_ok_and(|mounts| is_mounted_from(&mounts, &container))
    {
        return Ok(Identity::Verified);
    }
    // A line is `number:controllers:path`. A process that shows in the root group everywhere is
    // either in no container, or seen from inside its own group namespace.
    let only_root = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .all(|line| line.splitn(3, |byte| *byte == b':').nth(2) == Some(b"/"));
    if only_root { Ok(Identity::Unverified) } else { Err(LookError::Stranger { pid, container }) }
}

/// Whether something is mounted from a folder of that name: the fourth field of a line of
/// `mountinfo` is the mount's root in its file system, see `proc_pid_mountinfo(5)`. The fifth, where
/// it is mounted, says nothing: the host sees containers' mounts in such folders too.
pub(in crate::look) fn is_mounted_from(mounts: &[u8], folder: &str) -> bool {
    let folder = format!("/{folder}/");
    mounts.split(|byte| *byte == b'\n').any(|line| {
        let root = line.split(|byte| *byte == b' ').nth(3).unwrap_or_default();
        contains(root, folder.as_bytes())
    })
}
