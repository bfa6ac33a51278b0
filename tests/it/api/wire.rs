//! The server below the router: what raw bytes on a socket get.

use std::time::Duration;

use hpts::api::TlsError;
use hpts::api::server::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::world::{DEADLINE, Workers, World};

async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(bytes));
    String::from_utf8_lossy(&answer).into_owned()
}

fn served(world: &World, listener: TcpListener) -> JoinHandle<Result<(), TlsError>> {
    world.lifecycle.spawn(serve(listener, world.router.clone(), world.lifecycle.clone(), None))
}

#[tokio::test]
async fn framing_that_does_not_hold_is_refused_and_the_connection_closed() {
    let world = World::new(Workers::None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = served(&world, listener);
    let many = "x-a: b\r\n".repeat(200);
    let giant = format!("x-a: {}\r\n", "b".repeat(70_000));
    let head = "POST /v1/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let cases = [
        (format!("{head}Content-Length: -1\r\n\r\n"), "400"),
        (format!("{head}Content-Length: abc\r\n\r\n"), "400"),
        (format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "400"),
        (format!("GET /v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n"), "431"),
        (format!("GET /v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{giant}\r\n"), "431"),
        ("GET /v1/health/live HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), "400"),
        ("GET /v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), "200"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ];
    for (bytes, status) in cases {
        let answer = exchange(address, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:.80} got {answer:.80}");
    }
    world.lifecycle.stop();
    let ended = tokio::time::timeout(DEADLINE, serving).await;
    assert!(ended.is_ok(), "a server without requests stops at once");
}

#[tokio::test]
async fn bodies_that_must_not_be_read_are_refused_by_their_head() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", "hpts:payments:write").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = served(&world, listener);
    let head = format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nIdempotency-Key: payment:wire:1\r\nConnection: close\r\n"
    );
    let giant = format!("{head}Expect: 100-continue\r\nContent-Length: 10000000000\r\n\r\n");
    let answer = exchange(address, giant.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.200}");
    let hidden = "GET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let kept = head.replace("Connection: close\r\n", "");
    let smuggled = format!("{kept}Transfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n0\r\n\r\n{hidden}");
    let answer = exchange(address, smuggled.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:.200}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "what hides behind it is not served");
    for chunk in ["FFFFFFFFFFFFFFFFF\r\n", "5\r\nabcdeX"] {
        let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n");
        let answer = exchange(address, broken.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk}: {answer:.200}");
    }
    world.lifecycle.stop();
    drop(serving);
}

#[tokio::test]
async fn a_stopping_server_closes_idle_connections() {
    let world = World::new(Workers::None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = served(&world, listener);
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    idle.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));
    let silent = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.lifecycle.stop();
    let ended = tokio::time::timeout(Duration::from_secs(5), serving).await;
    assert!(ended.is_ok(), "idle connections hold the server up");
    drop(silent);
}
