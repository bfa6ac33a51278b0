//! Owns a TCP proxy on loopback that stands between a client and its server and can fail in the ways networks do.

use std::net::SocketAddr;
use std::time::Duration;

use hpts::runtime::lifecycle::Lifecycle;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Forward,
    /// Passes at most 64 KiB on every 100 ms.
    Slow,
    /// Keeps connections open and takes new ones, and passes nothing on.
    BlackHole,
    /// Closes new connections at once. Those that exist go on; see [`Proxy::cut`].
    Refuse,
}

/// A proxy before one server. It ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Rises with every cut.
    cuts: watch::Sender<u64>,
    /// Rises with every connection that is refused.
    refusals: watch::Receiver<u64>,
    injections: broadcast::Sender<Vec<u8>>,
    lifecycle: Lifecycle,
}

impl Proxy {
    /// Listens on a free port and forwards to `server`.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Forward);
        let (cuts, cut) = watch::channel(0);
        let (refused, refusals) = watch::channel(0);
        let (injections, _) = broadcast::channel(16);
        let injected = injections.clone();
        let lifecycle = Lifecycle::new();
        let tasks = lifecycle.clone();
        lifecycle.spawn(async move {
            let stop = tasks.token();
            while let Some(Ok((client, _))) = stop.run_until_cancelled(listener.accept()).await {
                if *modes.borrow() == Mode::Refuse {
                    refused.send_modify(|refused| *refused += 1);
                    continue;
                }
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tasks.spawn(serve(client, server, modes.clone(), cut, injected.subscribe()));
            }
        });
        Self { address, mode, cuts, refusals, injections, lifecycle }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for all connections.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Closes every connection that is open now.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Waits until a connection that comes from now on is refused.
    pub(crate) async fn refuses(&self) {
        let mut refusals = self.refusals.clone();
        refusals.mark_unchanged();
        refusals.changed().await.unwrap();
    }
}

impl Proxy {
    /// Sends bytes to every client as if the server had; the server must be silent just then.
    pub(crate) fn inject(&self, bytes: &[u8]) {
        self.injections.send(bytes.to_vec()).expect("a client is connected");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.lifecycle.stop();
        self.cut();
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    modes: watch::Receiver<Mode>,
    mut cut: watch::Receiver<u64>,
    injected: broadcast::Receiver<Vec<u8>>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = cut.changed() => {}
        () = pump(from_client, to_server, modes.clone(), None) => {}
        () = pump(from_server, to_client, modes, Some(injected)) => {}
    }
}

/// Passes bytes on, in one direction, until either side closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut modes: watch::Receiver<Mode>,
    mut injected: Option<broadcast::Receiver<Vec<u8>>>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let injection = async {
            match &mut injected {
                Some(injected) => injected.recv().await.ok(),
                None => None,
            }
        };
        let bytes = tokio::select! {
            Some(bytes) = injection => bytes,
            read = from.read(&mut buffer) => match read {
                Ok(read @ 1..) => buffer[..read].to_vec(),
                Ok(0) | Err(_) => return,
            },
        };
        if modes.wait_for(|mode| *mode != Mode::BlackHole).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
        if *modes.borrow() == Mode::Slow {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
