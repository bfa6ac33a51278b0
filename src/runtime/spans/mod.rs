//! Owns the spans that leave the process: where they go (OTLP, protobuf over HTTP), how they name their caller's trace
//! (W3C `traceparent`), and how the last of them get out.
//!
//! A span is made under the target [`TARGET`] and nothing else is exported; logs never show it. Without an endpoint
//! nobody listens to that target, and making a span costs one look at a static: [`tracing::Span::is_disabled`] says so,
//! and callers leave the rest out.
//!
//! With one, spans are batched by a thread of the SDK's and sent by tasks on the process's tracker. The queue is
//! bounded and never waited for: a collector that is slow or away costs spans, not requests.

mod sender;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use reqwest::Url;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::spans::sender::Sender;
use crate::runtime::telemetry::VERSION;

/// The target of every span that leaves the process.
pub const TARGET: &str = "exported_span";
/// Where an OTLP collector takes spans, below its address.
const TRACES_PATH: &str = "/v1/traces";
/// Spans that may wait to be sent, some 8 MB: a second at full speed. Further ones are dropped.
const WAITING_MAX: usize = 8_192;
/// Spans of one message.
const MESSAGE_MAX: usize = 512;
/// How long one message may take.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// The most links of a batch to the requests in it.
pub const LINKS_MAX: usize = 64;

/// Whether spans leave this process.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// Where spans go: the address of an OTLP collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

/// An address that spans cannot be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL such as http://collector:4318, without credentials, query or fragment")]
pub struct OtlpEndpointError;

impl FromStr for OtlpEndpoint {
    type Err = OtlpEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_unreadable| OtlpEndpointError)?;
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let has_no_more = url.query().is_none() && url.fragment().is_none();
        let is_open = url.username().is_empty() && url.password().is_none();
        if is_http && has_no_more && is_open { Ok(Self(url)) } else { Err(OtlpEndpointError) }
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl OtlpEndpoint {
    /// The address that takes spans; the collector's with or without the path.
    fn traces(&self) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{}{TRACES_PATH}", base.strip_suffix(TRACES_PATH).unwrap_or(base))
    }
}

/// Why spans cannot be exported at all. A collector that is away is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum SpanError {
    /// TLS cannot be set up, such as on a machine without root certificates.
    #[error("the client for HPTS_OTLP_ENDPOINT cannot be made")]
    Client(#[source] reqwest::Error),
    /// The exporter refuses its settings.
    #[error("the exporter for HPTS_OTLP_ENDPOINT cannot be made")]
    Exporter(#[source] ExporterBuildError),
}

/// The export of spans, while it runs.
#[derive(Clone, Debug)]
pub struct SpanExport {
    provider: SdkTracerProvider,
}

impl SpanExport {
    /// Begins; what is to be sent goes out in tasks on `lifecycle`. `process` tells this process from others.
    ///
    /// # Errors
    /// See [`SpanError`].
    pub fn start(endpoint: &OtlpEndpoint, process: &str, lifecycle: &Lifecycle) -> Result<Self, SpanError> {
        let sender = Sender::new(lifecycle.clone(), SEND_WITHIN).map_err(SpanError::Client)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.traces())
            .with_timeout(SEND_WITHIN)
            .with_http_client(sender)
            .build()
            .map_err(SpanError::Exporter)?;
        let limits = BatchConfigBuilder::default().with_max_queue_size(WAITING_MAX);
        let limits = limits.with_max_export_batch_size(MESSAGE_MAX).build();
        let resource = Resource::builder()
            .with_service_name(process.replace(' ', "-"))
            .with_attributes([KeyValue::new("service.namespace", "hpts"), KeyValue::new("service.version", VERSION)]);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(limits).build())
            .with_resource(resource.build())
            .build();
        EXPORTING.store(true, Ordering::Relaxed);
        Ok(Self { provider })
    }

    /// What a subscriber needs to pass the spans on.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("hpts"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what waits, and ends. What is not out within `within` is lost.
    pub async fn finish(self, within: Duration) {
        EXPORTING.store(false, Ordering::Relaxed);
        let last = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(within));
        match tokio::time::timeout(within, last).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans were not exported"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last spans were not exported in time"),
        }
    }
}

/// A place in a trace, as W3C `traceparent` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePlace {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl fmt::Display for TracePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl TracePlace {
    /// Where the running task is; none where no spans leave the process, or outside of any.
    #[must_use]
    pub fn current() -> Option<Self> {
        if !EXPORTING.load(Ordering::Relaxed) {
            return None;
        }
        let context = Span::current().context();
        Self::of(context.span().span_context())
    }

    /// Reads a `traceparent`; none where no spans leave the process, or for anything else.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        if !EXPORTING.load(Ordering::Relaxed) {
            return None;
        }
        let carried = Carried { traceparent, tracestate: None };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
        Self::of(context.span().span_context())
    }

    fn of(context: &SpanContext) -> Option<Self> {
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
        context.is_valid().then_some(Self { trace, span, flags })
    }
}

/// Makes a span a child of the place that its caller names. Garbage leaves it the first of a trace of its own.
pub fn set_parent(span: &Span, traceparent: &str, tracestate: Option<&str>) {
    let carried = Carried { traceparent, tracestate };
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
    // It fails where the span is not exported; then it has no parent to have.
    let _without_parent = span.set_parent(parent).is_err();
}

/// Links a span to places in other traces that it works for, at most [`LINKS_MAX`].
pub fn link(span: &Span, places: impl IntoIterator<Item = TracePlace>) {
    for TracePlace { trace, span: linked, flags } in places.into_iter().take(LINKS_MAX) {
        span.add_link(SpanContext::new(trace, linked, flags, true, opentelemetry::trace::TraceState::default()));
    }
}

/// The two headers of W3C Trace Context.
struct Carried<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_to_the_collectors_path() {
        let traces = |text: &str| OtlpEndpoint::from_str(text).map(|endpoint| endpoint.traces());
        let expected = Ok("http://collector:4318/v1/traces".to_owned());
        assert_eq!(traces("http://collector:4318"), expected);
        assert_eq!(traces("http://collector:4318/"), expected);
        assert_eq!(traces("http://collector:4318/v1/traces"), expected);
        assert_eq!(traces("https://x.example/otlp/"), Ok("https://x.example/otlp/v1/traces".to_owned()));
        for bad in ["", "collector:4318", "grpc://x", "http://", "http://u:p@x", "http://x?a=b", "http://x#y"] {
            assert_eq!(traces(bad), Err(OtlpEndpointError), "{bad}");
        }
    }

    #[test]
    fn without_an_endpoint_there_is_no_place_in_a_trace() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!((TracePlace::current(), TracePlace::parse(parent)), (None, None));
        let span = tracing::info_span!(target: TARGET, "request");
        assert!(span.is_disabled());
        set_parent(&span, parent, None);
    }
}
