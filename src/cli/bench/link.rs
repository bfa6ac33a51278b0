//! Owns one keep-alive connection with one request in flight. Connection and request are driven by the same task, so
//! that an exchange wakes nobody else.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::http::response::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest wait for a connection or an answer: a call waits 60 s at most, and some for the way.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(75);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not be made.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// It broke, or the server closed it.
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    /// Nothing came in time.
    #[error("no answer in time")]
    Silent,
}

/// A connection for bodies of one sort: whole ones, or one that is made while it is sent. After an error, or when it is
/// no longer open, make another.
#[derive(Debug)]
pub(super) struct Link<B = Full<Bytes>>
where
    B: Body + 'static,
{
    sender: SendRequest<B>,
    driver: Pin<Box<Connection<TokioIo<TcpStream>, B>>>,
    ended: bool,
}

impl<B> Link<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    /// Connects, without delay for small packets.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, LinkError> {
        let stream = in_time(ANSWER_SECONDS_MAX, TcpStream::connect(address)).await?.map_err(LinkError::Connect)?;
        stream.set_nodelay(true).map_err(LinkError::Connect)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::pin(driver), ended: false })
    }

    /// Whether another request can be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.ended && !self.sender.is_closed()
    }

    /// Sends a request and answers the status; the body is read and dropped.
    pub(super) async fn status_of(&mut self, request: Request<B>) -> Result<StatusCode, LinkError> {
        self.drive(ANSWER_SECONDS_MAX, request, async |response| {
            let status = response.status();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok(status)
        })
        .await
    }

    /// Sends a request and answers head and body.
    pub(super) async fn exchange(&mut self, request: Request<B>) -> Result<(Parts, Bytes), LinkError> {
        self.exchange_within(ANSWER_SECONDS_MAX, request).await
    }

    /// The same with another limit, for a body that takes its time.
    pub(super) async fn exchange_within(
        &mut self,
        limit: Duration,
        request: Request<B>,
    ) -> Result<(Parts, Bytes), LinkError> {
        self.drive(limit, request, async |response| {
            let (head, body) = response.into_parts();
            Ok((head, body.collect().await?.to_bytes()))
        })
        .await
    }

    async fn drive<T>(
        &mut self,
        limit: Duration,
        request: Request<B>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, hyper::Error>,
    ) -> Result<T, LinkError> {
        let Self { sender, driver, ended } = self;
        let work = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            read(response).await
        };
        let answer = async {
            tokio::pin!(work);
            tokio::select! {
                biased;
                answer = &mut work => answer,
                _ = driver => {
                    // The server closed after its answer, which may be here already; nothing more will come.
                    *ended = true;
                    work.await
                }
            }
        };
        Ok(in_time(limit, answer).await??)
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, LinkError> {
    tokio::time::timeout(limit, work).await.map_err(|_| LinkError::Silent)
}
