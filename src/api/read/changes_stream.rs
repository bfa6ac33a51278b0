//! Owns `GET /v1/changes/stream`: the change feed as server-sent events.
//!
//! The stream is pulled: a page is only read when the connection takes more, so a caller who reads slowly holds nothing
//! of ours but the page he is at, and one who has stopped reading is cut off by the server below. It ends when the
//! process stops, when the token ends, or when its client is shut out; the caller comes back with `Last-Event-ID`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::api::auth::Caller;
use crate::api::changes::{Begin, Follower, Place, cursor_of};
use crate::api::error::ApiError;
use crate::api::openapi::ProblemDocument;
use crate::api::read::changes::{FeedRequest, SCOPES, place_to_begin};
use crate::api::state::ApiState;
use crate::core::time::Timestamp;
use crate::runtime::telemetry::chain;
use crate::store::ChangePlace;

/// Where a caller who comes back was.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells a proxy not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How often a silent stream says that it lives, and every stream looks at its token again. What is known of a token is
/// up to 50 seconds old, so a client that is shut out is cut off within a minute.
const BEAT: Duration = Duration::from_secs(10);
/// How long to pause when the database does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a caller should wait before he comes back, in milliseconds.
const RETRY: &str = "retry: 2000\n";

/// The change feed as server-sent events: `id` is the cursor behind the change, `event` is `change`, `data` a change.
///
/// Comments come every 10 seconds where nothing is new. The stream ends when the token does; come back with a fresh one
/// and the last `id` in `Last-Event-ID`, which goes before `cursor`.
#[utoipa::path(get, path = "/v1/changes/stream", tag = "payments", security(("oauth2" = ["hpts:ledger:read"])),
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of a page; `latest` begins now"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last `id` seen")),
    responses((status = 200, description = "Events, without an end", body = String, content_type = "text/event-stream",
            example = "id: AAAAAQAAAAAAAAMgAAAAAXD8mmsC7fIm\nevent: change\ndata: {\"payment_event_id\":\
            \"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa\",\"status\":\"posted\",\"event_type\":\"payment_received\",\
            \"loan_id\":\"11111111-1111-1111-1111-111111111111\",\"loan_version\":2}\n\n"),
        (status = 400, description = "The cursor is not valid", body = ProblemDocument),
        (status = 429, description = "The client has 8 streams", body = ProblemDocument),
        (status = 503, description = "The process has no place left", body = ProblemDocument)))]
pub(crate) async fn stream_changes(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let FeedRequest { caller, mut query, begin } = FeedRequest::read(&state, &uri, &headers).await?;
    let tenant = caller.tenant;
    let begin = match headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        None => begin,
        Some(value) => match Begin::parse(tenant, value.to_str().unwrap_or("")) {
            Ok(Begin::After(place)) => Begin::After(place),
            Ok(Begin::Latest) | Err(_) => {
                query.fail("Last-Event-ID", "invalid", "is not an id of your change feed");
                begin
            }
        },
    };
    query.finish()?;
    if state.lifecycle().is_stopping() {
        return Err(ApiError::Overloaded);
    }
    let place = state.changes().places.take(&caller.client_id)?;
    let after = place_to_begin(&state, tenant, begin).await?;
    let follower = state.changes().follow(tenant);
    // A database that is away is told now, while there is a status to tell it with. Where all is well this is the page
    // that the stream begins with.
    follower.page(state.store(), after).await?;
    let looked_at = Instant::now();
    let stream = ChangeStream { state, headers, caller, looked_at, follower, after, has_begun: false, _place: place };
    let events = futures::stream::unfold(stream, |stream| async {
        let (events, stream) = stream.next().await?;
        Some((Ok::<Bytes, Infallible>(events), stream))
    });
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((head, Body::from_stream(events)).into_response())
}

/// One caller's stream, between two pieces.
struct ChangeStream {
    state: ApiState,
    headers: HeaderMap,
    caller: Arc<Caller>,
    /// When the caller's token was looked at last.
    looked_at: Instant,
    follower: Follower,
    after: ChangePlace,
    has_begun: bool,
    _place: Place,
}

impl ChangeStream {
    /// The next piece; `None` ends the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if !self.has_begun {
            self.has_begun = true;
            // An id without data moves a reader's last id and makes no event: whoever began with `latest` and is cut
            // off before the first change comes back to where he began.
            let id = cursor_of(self.caller.tenant, self.after);
            return Some((format!("{RETRY}id: {id}\n\n").into(), self));
        }
        let beat_at = later(Instant::now(), BEAT);
        loop {
            if self.state.lifecycle().is_stopping() || !self.may_go_on().await {
                return None;
            }
            let pause_until = match self.follower.page(self.state.store(), self.after).await {
                Ok(page) if !page.is_empty() => {
                    self.after = page.end();
                    return Some((page.events(), self));
                }
                Ok(_) => None,
                Err(error) if error.is_passing() => Some(later(Instant::now(), PAUSE)),
                Err(error) => {
                    tracing::error!(error = chain(&error), "a change feed cannot be read");
                    return None;
                }
            };
            self.wait(pause_until, beat_at.min(self.token_ends_at())).await;
            if Instant::now() >= beat_at {
                return Some((Bytes::from_static(b":\n\n"), self));
            }
        }
    }

    /// Waits for the feed to go on, or for a pause to end; at most until `until`, and not while the process stops.
    async fn wait(&mut self, pause_until: Option<Instant>, until: Instant) {
        let stopping = self.state.lifecycle().token();
        let waiting = async {
            match pause_until {
                Some(pause_until) => tokio::time::sleep_until(pause_until).await,
                None => self.follower.beyond(self.after).await,
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = waiting => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Whether the token is still good, as far as was looked within [`BEAT`].
    async fn may_go_on(&mut self) -> bool {
        if self.caller.expires <= self.state.now() {
            return false;
        }
        if self.looked_at.elapsed() < BEAT {
            return true;
        }
        match self.state.caller(&self.headers, SCOPES).await {
            Ok(caller) => {
                self.caller = caller;
                self.looked_at = Instant::now();
                true
            }
            // It calls too often, which says nothing of its token.
            Err(ApiError::RateLimited { .. }) => true,
            Err(error) => {
                tracing::debug!(%error, "a stream of changes ends");
                false
            }
        }
    }

    /// When the token ends.
    fn token_ends_at(&self) -> Instant {
        later(Instant::now(), left(self.state.now(), self.caller.expires))
    }
}

fn left(now: Timestamp, until: Timestamp) -> Duration {
    until.utc().signed_duration_since(now.utc()).to_std().unwrap_or_default()
}

fn later(instant: Instant, by: Duration) -> Instant {
    instant.checked_add(by).unwrap_or(instant)
}
