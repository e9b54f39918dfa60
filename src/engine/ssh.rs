//! An engine that is reached over ssh, as the Docker CLI reaches it: `docker system dial-stdio` on
//! the other machine, its input and output the connection.
//!
//! The `ssh` command of this machine is what connects, so that its configuration, keys, agent and
//! known hosts are the user's. It never asks anything: what it would ask is an error.

use std::{
    io,
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{Sleep, sleep},
};

/// How long `ssh` may still speak of its failure once the connection has ended.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How much of that is kept.
const MOST_WORDS: usize = 4096;

/// Whom `ssh` is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Destination {
    /// Reads `ssh://[USER@]HOST[:PORT]`.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix("ssh://").ok_or("its scheme is not ssh")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("nothing may follow the host and its port");
        }
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        if user.as_deref().is_some_and(|user| user.is_empty() || user.contains(':')) {
            return Err("a password cannot be given to ssh: use a key");
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.starts_with('-') {
            return Err("it names no host");
        }
        let port = port.map(str::parse).transpose().map_err(|_| "its port is no number")?;
        Ok(Self { user, host: host.to_owned(), port })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T", "--", &self.host]);
        command.args(["docker", "system", "dial-stdio"]);
        // An interrupt is for portlid, who needs the engine to clean up.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts `ssh`. Whether it connects is seen by what comes of it.
    pub(super) fn dial(&self) -> io::Result<Dialed> {
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot run the command `ssh`: {error}"))
        };
        let mut child = self.command().spawn().map_err(failed)?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the command `ssh` has no input or output"));
        };
        let said = Arc::default();
        tokio::spawn(listen(errors, Arc::clone(&said)));
        Ok(Dialed { _child: child, input, output, said, has_answered: false, last_words: None })
    }
}

/// One `ssh`, and what is said through it. It ends when this is dropped.
pub(super) struct Dialed {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// What `ssh` itself says.
    said: Arc<Mutex<Vec<u8>>>,
    has_answered: bool,
    last_words: Option<Pin<Box<Sleep>>>,
}

/// Keeps the beginning of what `ssh` says, and reads the rest.
async fn listen(mut errors: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WORDS.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..count.min(room)]);
    }
}

impl Dialed {
    /// Why nothing came at all.
    fn failure(&self) -> io::Error {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().rev().find(|line| !line.trim().is_empty());
        let line = line.unwrap_or("it ended without a word");
        // Some of its lines begin with its name, and some do not.
        let line = line.trim().trim_start_matches("ssh: ");
        io::Error::other(format!("ssh: {}", crate::foreign::shown(line, 300)))
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.last_words.is_none() {
            ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
            if buffer.filled().len() > before {
                self.has_answered = true;
            }
            if self.has_answered {
                return Poll::Ready(Ok(()));
            }
        }
        // It ended before a single byte came: `ssh` says why, in a moment.
        let last_words = self.last_words.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
        ready!(last_words.as_mut().poll(context));
        Poll::Ready(Err(self.failure()))
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.input).poll_write(context, bytes)) {
            // It has ended before it took anything: reading tells what it said of that.
            Err(_) if !self.has_answered => Poll::Ready(Ok(bytes.len())),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.input).poll_flush(context)) {
            Err(_) if !self.has_answered => Poll::Ready(Ok(())),
            flushed => Poll::Ready(flushed),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn destinations_are_read() {
        let read = |url: &str| {
            Destination::parse(url).map(|Destination { user, host, port }| (user, host, port))
        };
        let me = || Some("me".to_owned());
        for (url, wanted) in [
            ("ssh://far", (None, "far", None)),
            ("ssh://me@far/", (me(), "far", None)),
            ("ssh://me@far:2222", (me(), "far", Some(2222))),
            ("ssh://[fe80::1]:22", (None, "fe80::1", Some(22))),
        ] {
            assert_eq!(read(url), Ok((wanted.0, wanted.1.to_owned(), wanted.2)), "{url}");
        }
        for url in [
            "ssh://",
            "ssh://me:secret@far",
            "ssh://far:x",
            "ssh://-oProxyCommand=x",
            "tcp://x",
            "ssh://far/run/x",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
