//! The connections to an engine: a socket here, one elsewhere, with or without TLS, or `ssh`.
//!
//! All of them are made here and not by the client library, so that what comes in on any of them
//! is counted ([`meter`](super::meter)). What is sent and what it means is the library's affair.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error};
use hyper::Uri;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::{
    endpoint::Endpoint,
    meter::{self, Meter, Metered},
    ssh::Destination,
};

/// Streams have deadlines of their own; this one is for the head of an answer, and pulls and builds
/// may be slow to begin.
const SECONDS: u64 = 600;

/// Opens a client for the endpoint. Nothing is sent yet.
pub(super) fn open(endpoint: &Endpoint) -> Result<Docker, Error> {
    let url = endpoint.url.as_str();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // Behind a socket or `ssh` the host is for the request's head alone.
    let (way, host) = match (scheme, &endpoint.certificates) {
        ("unix", _) => {
            std::fs::metadata(rest)?;
            (Way::Socket(rest.into()), "docker")
        }
        ("ssh", _) => {
            let wrong = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
            (Way::Ssh(Destination::parse(url).map_err(wrong)?), "docker")
        }
        (_, Some(folder)) => (Way::Tls(tls(folder)?), rest),
        (_, None) => (Way::Plain, rest),
    };
    let mut builder = Client::builder(TokioExecutor::new());
    if !matches!(way, Way::Ssh(_)) {
        // An engine may close a connection that nobody uses, just as it is used again.
        builder.pool_max_idle_per_host(0);
    }
    let is_secure = matches!(way, Way::Tls(_));
    let client = builder.build(Dialer(way));
    Docker::connect_with_custom_transport(
        move |request: BollardRequest| {
            let (client, note) = (client.clone(), meter::note());
            Box::pin(async move {
                let answer = client.request(request).await.map_err(Error::from)?;
                if let Some(Answers(meter)) = answer.extensions().get() {
                    note(meter);
                }
                Ok(answer)
            })
        },
        Some(format!("{}://{host}", if is_secure { "https" } else { "http" })),
        SECONDS,
        API_DEFAULT_VERSION,
    )
}

/// What the folder of certificates says: who the engine must be, and who we are.
fn tls(folder: &Path) -> io::Result<Arc<ClientConfig>> {
    let named = |name: &str, why: &dyn std::fmt::Display| {
        let path = folder.join(name);
        io::Error::other(format!("cannot use `{}`: {why}", path.display()))
    };
    let certificates = |name: &str| {
        CertificateDer::pem_file_iter(folder.join(name))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| named(name, &error))
    };
    // The system's own authorities count too, as they do for the Docker CLI's contexts.
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(certificates("ca.pem")?);
    let own = certificates("cert.pem")?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"));
    let key = key.map_err(|error| named("key.pem", &error))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(own, key)
        .map_err(|error| named("key.pem", &error))?;
    Ok(Arc::new(config))
}

/// How a connection is made.
#[derive(Clone)]
enum Way {
    Socket(PathBuf),
    Plain,
    Tls(Arc<ClientConfig>),
    Ssh(Destination),
}

/// Makes a connection whenever the client needs one more.
#[derive(Clone)]
struct Dialer(Way);

impl Dialer {
    async fn dial(self, uri: Uri) -> io::Result<Box<dyn Wire>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = |default: u16| uri.port_u16().unwrap_or(default);
        Ok(match self.0 {
            Way::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Way::Ssh(destination) => Box::new(destination.dial()?),
            Way::Plain => Box::new(reach(&host, port(80)).await?),
            Way::Tls(config) => {
                let stream = reach(&host, port(443)).await?;
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                Box::new(TlsConnector::from(config).connect(name, stream).await?)
            }
        })
    }
}

async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // A question is small, and waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Line>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { Ok(TokioIo::new(Line(Metered::new(dialer.dial(uri).await?)))) })
    }
}

/// Both directions of a connection.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection as the client wants it.
struct Line(Metered<Box<dyn Wire>>);

/// The meter of the connection that an answer came by.
#[derive(Clone)]
struct Answers(Arc<Meter>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new().extra(Answers(Arc::clone(self.0.meter())))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
