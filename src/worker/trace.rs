//! Owns the span of a batch, for those who collect spans: one a posting, linked to requests whose events it may hold.

use tracing::Span;
use tracing::field::Empty;

use crate::core::event::Envelope;
use crate::runtime::spans::{LINKS_MAX, TARGET, TracePlace, link};
use crate::worker::posting::Done;

/// The requests whose messages have come since the last batch, as far as they told their trace. A few of many.
#[derive(Debug, Default)]
pub(super) struct Requests(Vec<TracePlace>);

impl Requests {
    /// Notes a message's.
    pub(super) fn note(&mut self, envelope: &Envelope) {
        if let Some(trace) = &envelope.trace
            && self.0.len() < LINKS_MAX
        {
            self.0.extend(TracePlace::parse(trace));
        }
    }

    /// The span of the next batch; disabled where no spans leave the process.
    pub(super) fn batch_span(&mut self, lane: i16, wanted: usize) -> Span {
        let span = tracing::info_span!(
            target: TARGET,
            "post batch",
            otel.kind = "consumer",
            otel.status_code = Empty,
            lane,
            events.wanted = wanted,
            events.posted = Empty,
            events.left = Empty,
        );
        link(&span, self.0.drain(..));
        span
    }
}

/// Notes what became of a batch. Events that are left come with a later one.
pub(super) fn record_batch(span: &Span, done: &Done) {
    if span.is_disabled() {
        return;
    }
    span.record("events.posted", done.posted.len());
    span.record("events.left", done.left.len());
    if done.posted.is_empty() && !done.left.is_empty() {
        span.record("otel.status_code", "ERROR");
    }
}
