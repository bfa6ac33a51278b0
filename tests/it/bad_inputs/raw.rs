//! Owns the wire: sends the bytes of a request exactly as given, for no HTTP library makes the bad ones, and reads
//! whatever comes back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How long an answer may take where the row does not wait on purpose.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What came back on one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The first final answer's status; 0 where the connection ended without one.
    pub(super) status: u16,
    /// Its headers, names in small letters.
    pub(super) headers: Vec<(String, String)>,
    /// Its body.
    pub(super) body: Vec<u8>,
    /// Whether `100 Continue` came before it.
    pub(super) continued: bool,
    /// Whether bytes came after it: an answer to a request that was not sent.
    pub(super) more: bool,
    /// Whether the server ended the connection.
    pub(super) closed: bool,
}

impl Answer {
    /// A header's value, if it came.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends bytes on a connection of their own and reads until the server closes it or falls silent.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8], patience: Duration) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let read = async {
        let (received, closed) = read_all(&mut reader, patience).await;
        let mut answer = parsed(&received);
        answer.closed = closed;
        answer
    };
    // A server that refuses a giant stops reading it: what it answered is still there to be read.
    let write = async { writer.write_all(bytes).await.is_ok() };
    let (_written, answer) = tokio::join!(write, read);
    answer
}

/// Sends bytes and leaves at once.
pub(super) async fn send_and_leave(address: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await
}

/// Sends one byte a beat; answers how long the server bore it.
pub(super) async fn trickle(address: SocketAddr, bytes: &[u8], beat: Duration) -> Duration {
    let since = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut buffer = [0; 1024];
    for byte in bytes {
        let written = stream.write_all(&[*byte]).await;
        match timeout_at(Instant::now() + beat, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) | Err(_) if written.is_ok() => {}
            Ok(Ok(_)) | Err(_) => break,
        }
    }
    since.elapsed()
}

/// Everything that comes, and whether the server closed the connection after it.
pub(super) async fn read_all(reader: &mut (impl AsyncReadExt + Unpin), patience: Duration) -> (Vec<u8>, bool) {
    let deadline = Instant::now() + patience;
    let (mut received, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        match timeout_at(deadline, reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return (received, true),
            Ok(Ok(length)) => received.extend_from_slice(&buffer[..length]),
            Err(_) => return (received, false),
        }
    }
}

fn parsed(mut bytes: &[u8]) -> Answer {
    let mut answer = Answer::default();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return answer };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        if status == 100 {
            answer.continued = true;
            continue;
        }
        answer.status = status;
        let pairs = lines.filter_map(|line| line.split_once(':'));
        answer.headers = pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
        let length = length.unwrap_or(bytes.len()).min(bytes.len());
        answer.body = bytes[..length].to_vec();
        answer.more = bytes.len() > length;
        return answer;
    }
}
