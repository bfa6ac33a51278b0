//! Owns the description of the messages that endpoints are told: the document's `webhooks`, which the library that makes
//! the rest of it does not know.

use serde_json::{Map, Value, json};

use crate::core::webhook::WebhookType;

/// What stands under a type: one sentence, the properties of its body, and one of it.
struct Message {
    told: WebhookType,
    summary: &'static str,
    properties: Value,
    required: &'static [&'static str],
    example: Value,
}

/// The document with `webhooks`, as text.
pub(super) fn with_webhooks(document: &utoipa::openapi::OpenApi) -> Option<Vec<u8>> {
    let mut document = serde_json::to_value(document).ok()?;
    let webhooks: Map<String, Value> = all().into_iter().map(described).collect();
    document.as_object_mut()?.insert("webhooks".to_owned(), Value::Object(webhooks));
    serde_json::to_vec(&document).ok()
}

fn described(message: Message) -> (String, Value) {
    let Message { told, summary, properties, required, example } = message;
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let content = json!({"application/json": {"schema": schema, "example": example}});
    let operation = json!({
        "tags": ["webhooks"],
        "summary": summary,
        "description": "Signed as Standard Webhooks has it; told at least once, always under the same `webhook-id`.",
        "parameters": [
            header("webhook-id", "The message: the same for every attempt", "string"),
            header("webhook-timestamp", "When it was sent, in seconds since 1970", "integer"),
            header("webhook-signature", "`v1,` and HMAC-SHA256 in base64; two with a blank between after a rotation",
                "string"),
            header("hpts-webhook-type", "The name of this webhook", "string"),
        ],
        "requestBody": {"required": true, "content": content},
        "responses": {
            "2XX": {"description": "Taken"},
            "410": {"description": "Never again: the endpoint is disabled"},
            "429": {"description": "Later: `Retry-After` is kept"},
            "default": {"description": "Tried again"},
        },
    });
    (told.as_str().to_owned(), json!({"post": operation}))
}

fn header(name: &str, description: &str, kind: &str) -> Value {
    json!({"name": name, "in": "header", "required": true, "description": description, "schema": {"type": kind}})
}

fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn text() -> Value {
    json!({"type": "string"})
}

const PAYMENT: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
const AT: &str = "2026-05-01T12:00:00Z";

fn all() -> [Message; 7] {
    let posted = json!({"$ref": "#/components/schemas/PaymentAnswer"});
    let rejected = json!({"type": "object", "properties": {"payment_event_id": uuid(), "status": text(),
        "code": text(), "rejected_at": instant()}});
    let returned = json!({"type": "object", "properties": {"payment_event_id": uuid(), "status": text(),
        "undone_by": uuid(), "return": {"$ref": "#/components/schemas/ReturnAnswer"}}});
    let pinged = json!({"type": "object", "properties": {"webhook_endpoint_id": uuid()}});
    [
        journal_entry_posted(),
        enveloped(
            WebhookType::PaymentPosted,
            "A payment is posted",
            &posted,
            &json!({"payment_event_id": PAYMENT,
            "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "allocation": {"fees_minor": "500",
            "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"}, "posted_at": AT}),
        ),
        enveloped(
            WebhookType::PaymentRejected,
            "A posting rule refused a payment",
            &rejected,
            &json!({
            "payment_event_id": PAYMENT, "status": "rejected", "code": "loan_not_found", "rejected_at": AT}),
        ),
        enveloped(
            WebhookType::PaymentReturned,
            "A payment was taken back",
            &returned,
            &json!({
            "payment_event_id": PAYMENT, "status": "returned", "undone_by": "cccccccc-cccc-cccc-cccc-cccccccccccc",
            "return": {"payment_returned_event_id": "cccccccc-cccc-cccc-cccc-cccccccccccc",
            "journal_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd", "posted_at": AT}}),
        ),
        return_rejected(),
        reversed(),
        enveloped(
            WebhookType::Ping,
            "You asked for it",
            &pinged,
            &json!({
            "webhook_endpoint_id": "0198f2d0-a1b2-7c3d-8e4f-000000000002"}),
        ),
    ]
}

fn return_rejected() -> Message {
    let data = json!({"type": "object", "properties": {"payment_returned_event_id": uuid(), "payment_event_id": uuid(),
        "status": text(), "code": text(), "rejected_at": instant()}});
    let example = json!({"payment_returned_event_id": "cccccccc-cccc-cccc-cccc-cccccccccccc",
        "payment_event_id": PAYMENT, "status": "rejected", "code": "already_undone", "rejected_at": AT});
    let summary = "A posting rule refused to take a payment back";
    enveloped(WebhookType::PaymentReturnRejected, summary, &data, &example)
}

fn reversed() -> Message {
    let data = json!({"type": "object", "properties": {"payment_event_id": uuid(), "status": text(),
        "undone_by": uuid(), "reversal": {"$ref": "#/components/schemas/ReversalAnswer"}}});
    let reversal = "cccccccc-cccc-cccc-cccc-cccccccccccc";
    let example = json!({"payment_event_id": PAYMENT, "status": "reversed", "undone_by": reversal,
        "reversal": {"journal_entry_id": "dddddddd-dddd-dddd-dddd-dddddddddddd",
        "reverses_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "posted_at": AT, "correlation_id": PAYMENT}});
    enveloped(WebhookType::PaymentReversed, "A payment was reversed", &data, &example)
}

fn journal_entry_posted() -> Message {
    Message {
        told: WebhookType::JournalEntryPosted,
        summary: "A journal entry is in the books",
        properties: json!({"journal_entry_id": uuid(), "tenant_id": uuid(), "event_type": text(),
            "occurred_at": instant(), "correlation_id": uuid()}),
        required: &["journal_entry_id", "tenant_id", "event_type", "occurred_at"],
        example: json!({"journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
            "tenant_id": "33333333-3333-3333-3333-333333333333", "event_type": "payment_received",
            "occurred_at": AT, "correlation_id": PAYMENT}),
    }
}

fn enveloped(told: WebhookType, summary: &'static str, data: &Value, example: &Value) -> Message {
    let tenant = "33333333-3333-3333-3333-333333333333";
    let example = json!({"type": told.as_str(), "timestamp": AT, "tenant_id": tenant, "data": example});
    let properties = json!({"type": {"const": told.as_str()}, "timestamp": instant(), "tenant_id": uuid(),
        "loan_id": uuid(), "idempotency_key": text(), "external_ref": text(), "batch_id": uuid(), "data": data});
    Message { told, summary, properties, required: &["type", "timestamp", "tenant_id", "data"], example }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;
    use crate::api::openapi::ApiDoc;

    #[test]
    fn every_type_is_described_with_an_example_of_its_own_properties() {
        let document: Value = serde_json::from_slice(&with_webhooks(&ApiDoc::openapi()).unwrap()).unwrap();
        let webhooks = document["webhooks"].as_object().unwrap();
        for told in WebhookType::SUBSCRIBED.into_iter().chain([WebhookType::Ping]) {
            let content = &webhooks[told.as_str()]["post"]["requestBody"]["content"]["application/json"];
            let example = content["example"].as_object().unwrap();
            let properties = content["schema"]["properties"].as_object().unwrap();
            assert!(example.keys().all(|name| properties.contains_key(name)), "{content}");
            for name in content["schema"]["required"].as_array().unwrap() {
                assert!(example.contains_key(name.as_str().unwrap()), "{name}");
            }
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("PaymentAnswer") && schemas.contains_key("ReturnAnswer"));
        assert!(schemas.contains_key("ReversalAnswer"));
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "webhooks came with 3.1");
    }
}
