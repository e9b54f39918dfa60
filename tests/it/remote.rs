//! An engine that is somewhere else, reached over tcp, with and
//! without TLS, and over ssh: its process ids and addresses
//! are not ours, so a scout looks.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};

use crate::{
    engine,
    harness::{Seen, Tool},
};

/// Leads a port of 127.0.0.1 to the engine, and returns the port. It lasts as long as the tests.
fn forward() -> u16 {
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = UnixStream::connect(&socket) else { continue };
            join(near, far);
        }
    });
    port
}

/// Carries both ways, and the end of each way by itself.
fn join(near: TcpStream, far: UnixStream) {
    let (mut near_in, mut far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let (mut near_out, mut far_out) = (near, far);
    thread::spawn(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut far_in, &mut near_out);
        let _ = near_out.shutdown(Shutdown::Both);
    });
}

/// A spec that passes, and one that does not.
fn both(run: impl Fn(Tool) -> Seen) {
    for (command, verdict, findings) in [
        (&["tcp:0.0.0.0:80"][..], "pass", vec![]),
        (
            &["tcp:0.0.0.0:80", "tcp:0.0.0.0:81"],
            "fail",
            vec!["fail unlisted-listener 81/tcp listener :2"],
        ),
    ] {
        let seen = run(Tool::subject(&["80/tcp"], command, "expose: [80/tcp]"));
        seen.is(verdict, &findings);
        assert_eq!(seen.spec()["evidence"]["looked_from"], "scout", "{seen}");
        assert_eq!(seen.row("80/tcp")["reachable"], "open", "{seen}");
    }
}

#[test]
fn over_tcp_a_scout_looks() {
    let host = format!("tcp://127.0.0.1:{}", forward());
    both(|tool| {
        let seen = tool.env("DOCKER_HOST", &host).run();
        assert_eq!(seen.json.as_ref().unwrap()["engine"]["endpoint"], host.as_str());
        seen
    });
}

/// Leads a port of 127.0.0.1 to the engine for those who prove who they are, and says who it is
/// itself. `folder` gets what a client needs for that.
fn forward_tls(folder: &Path) -> u16 {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap();
        (certificate.signed_by(&key, &authority).unwrap(), key)
    };
    let ((client, client_key), (server, server_key)) = (signed("client"), signed("127.0.0.1"));
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", client.pem()),
        ("key.pem", client_key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let asked = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asked.build().unwrap())
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    engine::runtime().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(near).await?;
                let mut far = tokio::net::UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    port
}

#[test]
fn over_tls_a_scout_looks() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = format!("tcp://127.0.0.1:{}", forward_tls(folder.path()));
    let with = |tool: Tool, folder: &Path| {
        let path = folder.display().to_string();
        tool.env("DOCKER_HOST", &host)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &path)
            .run()
    };
    both(|tool| with(tool, folder.path()));
    // Neither an engine that others vouch for is trusted, nor are we by it.
    forward_tls(other.path());
    let spec = format!("image: {}\nexpose: []\n", engine::fixture(&[]));
    with(Tool::gate(&spec), other.path()).is_inconclusive("certificate");
    let ours = std::fs::read(folder.path().join("ca.pem")).unwrap();
    std::fs::write(other.path().join("ca.pem"), ours).unwrap();
    with(Tool::gate(&spec), other.path()).is_inconclusive("cannot reach the container engine");
    // A folder without them is named.
    std::fs::remove_file(other.path().join("key.pem")).unwrap();
    with(Tool::gate(&spec), other.path()).is_inconclusive("key.pem`");
}

/// Puts a command called `ssh` into the folder, made of this script.
fn ssh(folder: &Path, script: &str) -> String {
    let path = folder.join("bin/ssh");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let rest = std::env::var("PATH").unwrap();
    format!("{}:{rest}", path.parent().unwrap().display())
}

#[test]
fn over_ssh_a_scout_looks() {
    // What the other machine's `docker system dial-stdio` does, on this one.
    let script = format!(
        "[ \"$*\" = '-l me -p 2222 -o BatchMode=yes -o ConnectTimeout=30 -T -- far.invalid \
         docker system dial-stdio' ] || {{ echo \"asked for: $*\" >&2; exit 9; }}\n\
         exec 3<>/dev/tcp/127.0.0.1/{}\n\
         cat <&3 &\n\
         cat >&3\n\
         kill $!",
        forward()
    );
    both(|tool| {
        let path = ssh(tool.path(), &script);
        tool.env("PATH", &path).env("DOCKER_HOST", "ssh://me@far.invalid:2222").run()
    });
}

#[test]
fn what_ssh_says_of_its_failure_is_told() {
    let tool = Tool::gate(&format!("image: {}\nexpose: []\n", engine::fixture(&[])));
    let path = ssh(tool.path(), "echo 'far.invalid: Permission denied (publickey).' >&2; exit 255");
    let seen = tool.env("PATH", &path).env("DOCKER_HOST", "ssh://far.invalid").run();
    seen.is_inconclusive("`ssh://far.invalid`: ssh: far.invalid: Permission denied (publickey).");
    // A port that is none, a password: refused before anything is run.
    for host in ["ssh://far.invalid:x", "ssh://me:secret@far.invalid"] {
        let tool = Tool::gate("image: x\nexpose: []\n").env("DOCKER_HOST", host);
        let seen = tool.run();
        seen.is_inconclusive("cannot use the engine endpoint");
        assert!(!format!("{seen}").contains("secret"), "{seen}");
    }
}
