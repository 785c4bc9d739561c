//! A TCP proxy between one process and one server, whose connections can be cut, slowed down and silenced.

mod line;
mod pump;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use line::Line;
use pump::Side;

/// Where a proxy leads.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// A port of this machine.
    Port(u16),
    /// A socket in the file system.
    Socket(PathBuf),
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    upstream: Mutex<Upstream>,
    /// `None` while all is well.
    line: watch::Sender<Option<Line>>,
    /// The address that connections to a port leave from, so that the other end can tell who calls.
    source: Mutex<Ipv4Addr>,
    /// Connections that there are now.
    open: AtomicU64,
    /// Connections that have met a broken line: they were there when it broke, or came then.
    broken: AtomicU64,
}

impl Proxy {
    /// Starts one on a free port.
    pub async fn start(upstream: Upstream) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (upstream, source) = (Mutex::new(upstream), Mutex::new(Ipv4Addr::LOCALHOST));
        let (open, broken) = (AtomicU64::new(0), AtomicU64::new(0));
        let state = Arc::new(State { upstream, line: watch::Sender::new(None), source, open, broken });
        let task = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Ok(Self { port, state, task })
    }

    /// Breaks the line, or mends it with `None`.
    pub fn set(&self, line: Option<Line>) {
        if line.is_some() {
            self.state.broken.fetch_add(self.state.open.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.state.line.send_replace(line);
    }

    /// How many connections have met a broken line so far.
    pub fn broken(&self) -> u64 {
        self.state.broken.load(Ordering::Relaxed)
    }

    /// New connections lead elsewhere, as those to an address that another server takes over. Open ones stay where they lead.
    pub fn lead_to(&self, upstream: Upstream) {
        *self.state.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Connections leave from here from now on.
    pub fn leave_from(&self, source: Ipv4Addr) {
        *self.state.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Its connections are its own: they end with it.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(serve(client, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, state: Arc<State>) {
    let mut line = state.line.subscribe();
    let at_first = *line.borrow();
    if at_first.is_some() {
        state.broken.fetch_add(1, Ordering::Relaxed);
    }
    if at_first == Some(Line::Cut) {
        return;
    }
    let ends = |line: &Option<Line>| match line {
        Some(Line::Cut) => true,
        Some(Line::Reset) => at_first != Some(Line::Reset),
        _ => false,
    };
    let broken = async {
        // The proxy itself is gone where nobody can break any more.
        line.wait_for(ends).await.ok().and_then(|line| *line)
    };
    let _ = client.set_nodelay(true);
    let _open = Open::new(&state.open);
    let by = tokio::select! {
        by = broken => by,
        () = connect(&mut client, &state) => None,
    };
    if by == Some(Line::Reset) {
        let _ = client.set_zero_linger();
    }
}

/// Counts a connection for as long as there is one.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect(client: &mut TcpStream, state: &State) {
    let side = Side::of(&state.line);
    // A silent line does not even connect.
    side.speaks().await;
    let upstream = state.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match upstream {
        Upstream::Socket(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            carry(client, server, side).await;
        }
        Upstream::Port(port) => {
            let source = *state.source.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(server) = connect_from(source, port).await else { return };
            carry(client, server, side).await;
        }
    }
}

async fn connect_from(source: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn carry(client: &mut TcpStream, server: impl AsyncRead + AsyncWrite, side: Side<'_>) {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::select! {
        // Whoever called is gone: what is still on its way to the server is lost, as it would be with its host.
        () = pump::forward(from_client, to_server, side, pump::AtEnd::Drop) => {}
        () = pump::forward(from_server, to_client, side, pump::AtEnd::Deliver) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> anyhow::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    to.write_all(format!("{}\n", peer.ip()).as_bytes()).await?;
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        Ok(port)
    }

    #[tokio::test]
    async fn a_lost_line_is_silent_for_those_that_were_there_alone() -> anyhow::Result<()> {
        let proxy = Proxy::start(Upstream::Port(echo().await?)).await?;
        let mut greeting = [0; 10];
        let mut before = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        before.read_exact(&mut greeting).await?;
        proxy.set(Some(Line::Lost));
        let mut after = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        after.read_exact(&mut greeting).await?;
        for stream in [&mut before, &mut after] {
            stream.write_all(b"a").await?;
        }
        assert_eq!(after.read_u8().await?, b'a');
        let silence = tokio::time::timeout(Duration::from_millis(200), before.read_u8()).await;
        assert!(silence.is_err(), "nobody answers there");
        Ok(())
    }

    #[tokio::test]
    async fn a_line_is_reset_for_those_that_were_there_alone() -> anyhow::Result<()> {
        let proxy = Proxy::start(Upstream::Port(echo().await?)).await?;
        let mut greeting = [0; 10];
        let mut before = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        before.read_exact(&mut greeting).await?;
        proxy.set(Some(Line::Reset));
        let end = before.read_u8().await.expect_err("it is reset");
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        let mut after = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        after.read_exact(&mut greeting).await?;
        after.write_all(b"a").await?;
        assert_eq!(after.read_u8().await?, b'a');
        Ok(())
    }

    #[tokio::test]
    async fn a_line_is_slowed_silenced_cut_and_mended() -> anyhow::Result<()> {
        let proxy = Proxy::start(Upstream::Port(echo().await?)).await?;
        proxy.set(Some(Line::Silent));
        proxy.set(None);
        assert_eq!(proxy.broken(), 0, "there was nothing to break");
        proxy.leave_from(Ipv4Addr::new(127, 7, 0, 9));
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        let mut greeting = [0; 10];
        stream.read_exact(&mut greeting).await?;
        assert_eq!(&greeting, b"127.7.0.9\n");

        proxy.set(Some(Line::Slow { ms: 100 }));
        let asked = Instant::now();
        stream.write_all(b"a").await?;
        assert_eq!(stream.read_u8().await?, b'a');
        assert!(asked.elapsed() >= Duration::from_millis(200), "both ways take 100 ms: {:?}", asked.elapsed());

        proxy.set(Some(Line::Silent));
        stream.write_all(b"b").await?;
        let silence = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(silence.is_err(), "nothing comes over a silent line");
        proxy.set(None);
        assert_eq!(stream.read_u8().await?, b'b');

        proxy.set(Some(Line::Cut));
        assert!(stream.read_u8().await.is_err(), "a cut line is closed");
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        assert!(refused.read_u8().await.is_err());
        proxy.set(None);
        let mut again = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
        again.read_exact(&mut greeting).await?;
        assert_eq!(proxy.broken(), 4, "one was slowed, silenced and cut, one refused");

        let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
        proxy.lead_to(Upstream::Port(elsewhere.local_addr()?.port()));
        again.write_all(b"c").await?;
        assert_eq!(again.read_u8().await?, b'c', "an open one leads where it led");
        let (_led, accepted) = tokio::join!(TcpStream::connect(("127.0.0.1", proxy.port)), elsewhere.accept());
        accepted?;
        Ok(())
    }
}
