//! Owns the server below the router: connections, their limits, and how they end.
//!
//! | limit | value | against |
//! | --- | --- | --- |
//! | connections | 8192 | exhausted descriptors; further ones wait in the backlog |
//! | first request, TLS handshake | 15 s | silent connections |
//! | head of a request | 10 s, 256 headers, 96 KiB buffer | slow and giant heads; the edge refuses over 100 and 64 KiB with a document |
//! | an answer that the caller does not take | 30 s | callers who stop reading, and keep what is meant for them in our memory |
//! | HTTP/2 | 256 streams, 64 KiB header list, 64 resets pending, ping every 20 s | stream and reset floods, dead peers |
//!
//! When the process stops, no connection is accepted any more, each one finishes the requests it has and closes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::api::http::edge::ProtocolFault;
use crate::api::http::peer::CertificateThumbprint;
use crate::api::tls::{TlsError, TlsSettings};
use crate::api::unstalled::Unstalled;
use crate::runtime::lifecycle::Lifecycle;

/// The most connections at once. Each costs about 20 KiB and a descriptor.
const CONNECTIONS_MAX: usize = 8192;
/// A connection that has not brought a request, or finished its handshake, after this long is closed.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(15);
/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The read buffer; the edge refuses heads over 64 KiB itself, with a document.
const BUFFER_BYTES_MAX: usize = 96 * 1024;
/// How long the other side may take nothing of what is sent.
const STALL_MAX: Duration = Duration::from_secs(30);
const HEADERS_MAX: usize = 256;
const STREAMS_MAX: u32 = 256;
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
const RESETS_MAX: usize = 64;
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long to wait when the system refuses a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the router until the process stops, and every connection has ended.
///
/// # Errors
/// The TLS files cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    lifecycle: Lifecycle,
    tls: Option<TlsSettings>,
) -> Result<(), TlsError> {
    let acceptor = tls.map(|tls| tls.acceptor()).transpose()?;
    let server = Arc::new(Server { router, lifecycle, acceptor });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = server.lifecycle.stopping() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = Arc::clone(&server);
                server.lifecycle.spawn(async move {
                    connection.connection(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Every place back means that every connection has ended; the lifecycle bounds the wait.
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    drop(places.acquire_many(all).await);
    Ok(())
}

struct Server {
    router: Router,
    lifecycle: Lifecycle,
    acceptor: Option<TlsAcceptor>,
}

impl Server {
    async fn connection(&self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        match &self.acceptor {
            None => self.serve(Unstalled::new(TokioIo::new(stream), STALL_MAX), None).await,
            Some(acceptor) => match tokio::time::timeout(FIRST_REQUEST_WITHIN, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let peer = certificate.map(|certificate| CertificateThumbprint::of_certificate(certificate));
                    self.serve(Unstalled::new(TokioIo::new(stream), STALL_MAX), peer).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    }

    /// Serves the requests of a connection; `peer` is the client certificate that TLS has verified.
    async fn serve<I: Read + Write + Unpin + Send + 'static>(&self, io: I, peer: Option<CertificateThumbprint>) {
        let has_request = Arc::new(AtomicBool::new(false));
        let (router, seen) = (self.router.clone(), Arc::clone(&has_request));
        let service = service_fn(move |mut request: Request<Incoming>| {
            seen.store(true, Ordering::Relaxed);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            answer(router.clone(), request)
        });
        let builder = builder(self.lifecycle.clone());
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut first_request = pin!(tokio::time::sleep(FIRST_REQUEST_WITHIN));
        let mut is_waiting = true;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = first_request.as_mut(), if is_waiting => {
                    if !has_request.load(Ordering::Relaxed) {
                        return;
                    }
                    is_waiting = false;
                }
                () = self.lifecycle.stopping() => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

fn builder(lifecycle: Lifecycle) -> auto::Builder<TrackedExecutor> {
    let mut builder = auto::Builder::new(TrackedExecutor(lifecycle));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}

/// Spawns the streams of HTTP/2 on the task tracker.
#[derive(Clone)]
struct TrackedExecutor(Lifecycle);

impl<F> Executor<F> for TrackedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}

/// Answers one request.
///
/// hyper drops a Content-Length that stands beside a Transfer-Encoding before we see it. The two together may mean
/// that a proxy in front framed the request otherwise (request smuggling), so a connection ends with every chunked
/// request: nothing that follows on it is believed. Callers that reuse connections send a Content-Length.
async fn answer(router: Router, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let is_http1_1 = request.version() == Version::HTTP_11;
    if is_http1_1 && request.headers().get_all(HOST).iter().count() != 1 && request.uri().authority().is_none() {
        request.extensions_mut().insert(ProtocolFault("HTTP/1.1 needs exactly one Host header"));
    }
    let ends_here = is_http1_1 && request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if ends_here {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
