//! A receiver of webhooks on loopback: it keeps what it is sent and answers as the test says.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use futures::StreamExt;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// With this status.
    Answers(u16),
    /// With this status, asking for so many seconds.
    AsksToWait(u16, u32),
    /// Sends its caller to the metadata of a cloud.
    Redirects,
    /// 200, and never an end.
    Endless,
    /// 200, and a byte a second.
    Drips,
    /// Nothing at all.
    Hangs,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it was answered as a receiver should.
    pub(crate) is_taken: bool,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    /// The message's id.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// What it tells.
    pub(crate) fn told(&self) -> &str {
        self.header("hpts-webhook-type")
    }

    /// Whether one of its signatures is of this secret, by the public library.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let expected = Webhook::new(secret).unwrap().sign(self.id(), timestamp, &self.body).unwrap();
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

#[derive(Debug)]
struct Desk {
    mood: Mutex<Mood>,
    received: Mutex<Vec<Received>>,
}

/// The receiver; gone when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    desk: Arc<Desk>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub(crate) async fn new(mood: Mood) -> Self {
        let desk = Arc::new(Desk { mood: Mutex::new(mood), received: Mutex::default() });
        let router = Router::new().fallback(take).with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { desk, address, server }
    }

    /// Where it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers otherwise from now on.
    pub(crate) fn is_in(&self, mood: Mood) {
        *self.desk.mood.lock().unwrap() = mood;
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.desk.received.lock().unwrap().clone()
    }

    /// The requests that were answered as a receiver should.
    pub(crate) fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.is_taken).collect()
    }

    /// The ids of messages of a type that were taken.
    pub(crate) fn taken_ids(&self, told: &str) -> BTreeSet<String> {
        self.taken().iter().filter(|it| it.told() == told).map(|it| it.id().to_owned()).collect()
    }
}

async fn take(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mood = *desk.mood.lock().unwrap();
    let is_taken = matches!(mood, Mood::Well) || matches!(mood, Mood::Answers(200..=299));
    desk.received.lock().unwrap().push(Received { path: uri.path().to_owned(), headers, body, is_taken });
    let answer = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    match mood {
        Mood::Well => answer(204).body(Body::empty()).unwrap(),
        Mood::Answers(status) => answer(status).body(Body::from("as I was told")).unwrap(),
        Mood::AsksToWait(status, seconds) => answer(status).header("retry-after", seconds).body(Body::empty()).unwrap(),
        Mood::Redirects => {
            let elsewhere = "http://169.254.169.254/latest/meta-data/";
            answer(302).header("location", elsewhere).body(Body::empty()).unwrap()
        }
        Mood::Endless => {
            let piece = Bytes::from_static(&[b'x'; 4096]);
            let stream = futures::stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()));
            answer(200).body(Body::from_stream(stream)).unwrap()
        }
        Mood::Drips => {
            let drips = futures::stream::repeat(()).then(|()| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            });
            answer(200).body(Body::from_stream(drips)).unwrap()
        }
        Mood::Hangs => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            answer(204).body(Body::empty()).unwrap()
        }
    }
}
