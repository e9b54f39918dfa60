//! How much of what the engine says is taken in.
//!
//! The client library reads an answer to its end before it looks at it, and a line of a stream to
//! the end of that line. An engine that is broken, or is none, may never come to either: so what
//! comes in is counted where it comes in, on the connection, whatever is made of it behind. This
//! never looks at the bytes, and so cannot be misled by them.
//!
//! - An answer begins with the last byte of what was asked, and may be [`ANSWER`] long.
//! - A stream that was declared to be one ([`unending`]) may go on forever; what comes between two of
//!   its items may be [`ITEM`] long.

use std::{
    error, fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bollard::errors::Error;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest answer that is read. Of an image that exposes every port of TCP, UDP and SCTP the
/// engine says 6 MB, and half of that of a container of it: the longest that could be had of it.
const ANSWER: u64 = 32 * MIB;
/// The longest item of a stream that is read, and what may be read ahead of the next. A frame of a
/// log holds 16 KiB; of a build BuildKit tells ten times a second, and 2 MiB of a step at most. The
/// client library looks at an item anew with whatever comes of it: much larger ones take minutes.
const ITEM: u64 = 4 * MIB;
const MIB: u64 = 1024 * 1024;

tokio::task_local! {
    /// The connections by which the stream comes that is being asked for.
    static ASKED_BY: Meters;
}

/// Meters of several connections: a build has one more for its session.
type Meters = Arc<Mutex<Vec<Arc<Meter>>>>;

/// What came in on a connection since it was last asked for something, or an item of it was used.
#[derive(Debug)]
pub(super) struct Meter {
    count: AtomicU64,
    limit: AtomicU64,
    is_over: AtomicBool,
}

impl Meter {
    fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            limit: AtomicU64::new(ANSWER),
            is_over: AtomicBool::new(false),
        }
    }

    /// Something is asked for, or an item was used: what follows is another.
    fn begin(&self) {
        self.count.store(0, Relaxed);
    }

    fn came(&self, bytes: usize) -> Result<(), Oversize> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let limit = self.limit.load(Relaxed);
        if self.count.fetch_add(bytes, Relaxed).saturating_add(bytes) > limit {
            self.is_over.store(true, Relaxed);
            return Err(Oversize { limit });
        }
        Ok(())
    }
}

/// An answer, or an item of one, does not end where it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oversize {
    limit: u64,
}

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} MiB came in answer, without an end", self.limit / MIB)
    }
}

impl error::Error for Oversize {}

impl Oversize {
    /// Whether that is what an error came of.
    pub(super) fn behind(error: &(dyn error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // The client library's own is transparent: its source is that of what it carries.
            let carried = match error.downcast_ref() {
                Some(Error::IOError { err }) => Some(err),
                _ => error.downcast_ref(),
            };
            let carried = carried.and_then(io::Error::get_ref);
            let carried = carried.and_then(|it| it.downcast_ref());
            if let Some(found) = error.downcast_ref().or(carried) {
                return Some(*found);
            }
            cause = error.source();
        }
        None
    }
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(super) struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T> Metered<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, meter: Arc::new(Meter::new()) }
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        Poll::Ready(self.meter.came(buffer.filled().len() - before).map_err(io::Error::other))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meter.begin();
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Notes that this connection answers, for whoever asks now; an answer as a whole has a limit unless
/// it was asked for as [`unending`].
pub(super) fn note() -> impl FnOnce(&Arc<Meter>) {
    let meters = ASKED_BY.try_with(Arc::clone).ok();
    move |meter| {
        meter.limit.store(if meters.is_some() { ITEM } else { ANSWER }, Relaxed);
        if let Some(meters) = meters {
            meters.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(meter));
        }
    }
}

/// A stream that may have no end, and whose items must.
pub(super) fn unending<S>(stream: S) -> Unending<S> {
    Unending { stream: Box::pin(stream), meters: Meters::default() }
}

/// The same where the stream is not the answer, but comes with it.
pub(super) async fn asking<T>(request: impl Future<Output = T>) -> (T, Comes) {
    let meters = Meters::default();
    let answer = ASKED_BY.scope(Arc::clone(&meters), request).await;
    (answer, Comes(meters))
}

/// Where a stream comes from.
pub(super) struct Comes(Meters);

impl Comes {
    /// The stream that comes from there.
    pub(super) fn unending<S>(self, stream: S) -> Unending<S> {
        Unending { stream: Box::pin(stream), meters: self.0 }
    }
}

/// A stream without an end, of items that have one.
pub(super) struct Unending<S> {
    stream: Pin<Box<S>>,
    meters: Meters,
}

impl<T, S: Stream<Item = Result<T, Error>>> Stream for Unending<S> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let meters = Arc::clone(&self.meters);
        let next = || self.stream.as_mut().poll_next(context);
        let item = ready!(ASKED_BY.sync_scope(Arc::clone(&meters), next));
        let meters = meters.lock().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(match item {
            Some(Ok(item)) => {
                meters.iter().for_each(|meter| meter.begin());
                Some(Ok(item))
            }
            // The client library keeps an error's words alone, and not what it came of.
            Some(Err(error)) => Some(Err(meters
                .iter()
                .find(|meter| meter.is_over.load(Relaxed))
                .map_or(error, |meter| {
                    let limit = meter.limit.load(Relaxed);
                    Error::from(io::Error::other(Oversize { limit }))
                }))),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use bollard::{Docker, query_parameters::CreateImageOptions};
    use futures_util::StreamExt;

    use super::{super::endpoint::Endpoint, ANSWER, ITEM, Oversize, unending};

    /// An engine that answers everything with this many of these bytes, in chunks of their length.
    fn engine(bytes: Vec<u8>, times: usize) -> Docker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
            for _ in 0..times {
                stream.write_all(&chunk)?;
            }
            stream.write_all(b"0\r\n\r\n")
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever has heard enough hangs up.
                let _ = answer(stream);
            }
        });
        let endpoint = Endpoint { url, from: String::new(), certificates: None };
        super::super::connection::open(&endpoint).unwrap()
    }

    fn times(size: u64, length: usize) -> usize {
        usize::try_from(size).unwrap() / length
    }

    #[tokio::test]
    async fn a_long_answer_is_read_and_an_endless_one_is_not() {
        let blank = vec![b' '; 64 * 1024];
        let most = times(ANSWER, blank.len());
        // Blanks are no image: so it was read to its end.
        let error = engine(blank.clone(), most - 1).inspect_image("web").await.unwrap_err();
        assert!(Oversize::behind(&error).is_none(), "{error}");
        let error = engine(blank, most + 1).inspect_image("web").await.unwrap_err();
        let oversize = Oversize::behind(&error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(oversize.to_string(), "more than 32 MiB came in answer, without an end");
    }

    #[tokio::test]
    async fn a_stream_may_be_longer_than_an_answer_if_its_items_are_not() {
        let line = format!("{{\"status\":\"{}\"}}\n", "a".repeat(256 * 1024)).into_bytes();
        let most = times(ANSWER, line.len()) + 10;
        let docker = engine(line, most);
        let mut answers = unending(docker.create_image(None::<CreateImageOptions>, None, None));
        let mut count = 0;
        while let Some(answer) = answers.next().await {
            assert!(answer.unwrap().status.is_some());
            count += 1;
        }
        assert_eq!(count, most);
    }

    #[tokio::test]
    async fn an_item_without_an_end_is_not_read_on_and_on() {
        // Blanks may yet become an item.
        let part = vec![b' '; 256 * 1024];
        let docker = engine(part.clone(), times(ANSWER, part.len()));
        let mut answers = unending(docker.create_image(None::<CreateImageOptions>, None, None));
        let error = answers.next().await.unwrap().unwrap_err();
        assert_eq!(Oversize::behind(&error).map(|it| it.limit), Some(ITEM), "{error:?}");
    }
}
