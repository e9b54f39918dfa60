//! Specs in tests: one call that looks, judges, and is an error unless everything passed.
//!
//! The look has a thread and a runtime of its own, so that it is the same under every runtime of a
//! test, or none, and goes on to clean up if nobody waits for it any more.

use std::{fmt, io, sync::Arc, thread};

use tokio::sync::oneshot;

use crate::{
    exit::Exit,
    harness::runtime,
    progress::silent,
    record::{Reason, Record},
    report::text,
    run::{Options, Session},
    spec::Spec,
};

/// Why something did not pass: a rule is broken, it could not be looked at, or something of it was
/// left behind.
///
/// Both `Display` and `Debug` are the whole story, as `portlid test` tells it: a test that ends with
/// `?` or `unwrap` prints it.
pub struct NotPassed(Box<Record>);

impl NotPassed {
    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }
}

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::story(&self.0).trim_end())
    }
}

impl fmt::Debug for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for NotPassed {}

impl Spec {
    /// Does what `portlid test` does: starts what the spec names, looks at it, judges it, and removes
    /// what was made.
    ///
    /// Any runtime will do. If the future is dropped, what was made is still removed.
    ///
    /// # Errors
    ///
    /// If it did not pass: a rule is broken, or it could not be looked at.
    ///
    /// ```no_run
    /// # use portlid::Spec;
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// Spec::image("nginx:1.29").allow(80).build()?.test().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn test(&self) -> Result<Record, NotPassed> {
        judged(check(self.clone()).await)
    }

    /// [`test`](Self::test) for tests that are not asynchronous.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```no_run
    /// # use portlid::Spec;
    /// # fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// Spec::image("nginx:1.29").allow(80).build()?.test_blocking()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn test_blocking(&self) -> Result<Record, NotPassed> {
        judged(check_blocking(self.clone()))
    }
}

/// Checks one spec on a thread of its own.
pub(crate) async fn check(spec: Spec) -> Record {
    let (lost, (done, record)) = (lost(&spec), oneshot::channel());
    // Dropped with this future, which tells the thread to come to an end.
    let (_wanted, unwanted) = oneshot::channel::<()>();
    let look = move || {
        let _ = done.send(look(&spec, unwanted));
    };
    match spawn(look) {
        Ok(_) => record.await.unwrap_or_else(|_| lost("it panicked")),
        Err(error) => lost(&error.to_string()),
    }
}

/// The same for those who wait for it.
pub(crate) fn check_blocking(spec: Spec) -> Record {
    let lost = lost(&spec);
    let (_wanted, unwanted) = oneshot::channel::<()>();
    match spawn(move || look(&spec, unwanted)) {
        Ok(thread) => thread.join().unwrap_or_else(|_| lost("it panicked")),
        Err(error) => lost(&error.to_string()),
    }
}

fn spawn<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name("portlid".to_owned()).spawn(look)
}

/// The whole look, to the end of its cleaning up.
fn look(spec: &Spec, unwanted: oneshot::Receiver<()>) -> Record {
    let session = Arc::new(Session::new(Options::default(), silent()));
    let Some(runtime) = runtime() else { return lost(spec)("no runtime can be started") };
    let record = runtime.block_on(async {
        let stop = async {
            let _ = unwanted.await;
            // 0 is no signal.
            session.interrupt(0);
            std::future::pending::<()>().await;
        };
        let mut record = tokio::select! {
            biased;
            record = session.check(spec) => record,
            () = stop => lost(spec)("it stopped too early"),
        };
        record.left_behind.extend(session.close().await);
        record
    });
    // A helper that asks for a password may never answer: it is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    if let Ok(session) = Arc::try_unwrap(session) {
        session.end(record.left_behind.is_empty());
    }
    record
}

/// The record of a look of which nothing is known.
fn lost(spec: &Spec) -> impl Fn(&str) -> Record + use<> {
    let spec = spec.clone();
    move |why| {
        let message = format!("the thread of the look failed: {}", crate::foreign::shown(why, 200));
        let hint = Some("`portlid clean` removes what it may have left".to_owned());
        Record { is_internal_error: true, ..Record::inconclusive(&spec, Reason { message, hint }) }
    }
}

/// Nothing but a pass is one.
pub(crate) fn judged(record: Record) -> Result<Record, NotPassed> {
    if record.exit() == Exit::Pass { Ok(record) } else { Err(NotPassed(Box::new(record))) }
}
