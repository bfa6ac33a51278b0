//! An OpenTelemetry collector of the test's own on loopback: it keeps the spans it is sent, or misbehaves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How it takes spans.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Well,
    /// Answers with this status.
    Refuses(u16),
    /// Never answers.
    Hangs,
}

/// A span, and the process that made it.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Collected {
    /// An attribute as text.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        text_of(&self.span.attributes, name)
    }

    pub(crate) fn is_linked_to(&self, trace: &[u8]) -> bool {
        self.span.links.iter().any(|link| link.trace_id == trace)
    }
}

fn text_of(attributes: &[KeyValue], name: &str) -> Option<String> {
    let AnyValue { value } = attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?;
    match value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other @ (Value::BoolValue(_)
        | Value::DoubleValue(_)
        | Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_)) => Some(format!("{other:?}")),
    }
}

#[derive(Debug)]
struct Desk {
    mood: Mood,
    spans: Mutex<Vec<Collected>>,
    messages: Mutex<usize>,
}

/// The collector; gone when dropped.
#[derive(Debug)]
pub(crate) struct LoopbackCollector {
    desk: Arc<Desk>,
    pub(crate) url: String,
    server: JoinHandle<()>,
}

impl Drop for LoopbackCollector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl LoopbackCollector {
    pub(crate) async fn new(mood: Mood) -> Self {
        let desk = Arc::new(Desk { mood, spans: Mutex::default(), messages: Mutex::default() });
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { desk, url, server }
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Collected> {
        self.desk.spans.lock().unwrap().clone()
    }

    /// How often spans were brought.
    pub(crate) fn messages(&self) -> usize {
        *self.desk.messages.lock().unwrap()
    }
}

async fn take(State(desk): State<Arc<Desk>>, body: Bytes) -> StatusCode {
    *desk.messages.lock().unwrap() += 1;
    match desk.mood {
        Mood::Well => {}
        Mood::Refuses(status) => return StatusCode::from_u16(status).unwrap(),
        Mood::Hangs => tokio::time::sleep(Duration::from_hours(1)).await,
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = desk.spans.lock().unwrap();
    for of_process in request.resource_spans {
        let service = text_of(&of_process.resource.unwrap().attributes, "service.name").unwrap();
        let found = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(found.map(|span| Collected { service: service.clone(), span }));
    }
    StatusCode::OK
}
