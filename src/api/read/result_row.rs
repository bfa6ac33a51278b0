//! Owns one row of an upload's results, as JSON and as CSV.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::read::rows_form::{Tabular, guarded};
use crate::api::read::status::EventView;
use crate::core::ledger::Followed;
use crate::store::{EventStatus, FileRejection, Resolved, UploadException};

/// The first line of the CSV form, for [`ResultRow::to_csv`].
pub(crate) const CSV_HEADER: &str = "row,status,code,idempotency_key,payment_event_id,journal_entry_id,loan_id,\
    amount_minor,currency,effective_at,fees_minor,interest_minor,principal_minor,suspense_minor,posted_at,first_row,\
    detail,external_ref,first_batch_id,resolution\n";

/// What became of one row: a payment's status, or why it made none. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResultRow {
    /// A row that is a payment.
    Event(Box<EventRow>),
    /// A row that made no payment.
    Exception(Box<ExceptionRow>),
}

/// A row that is a payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventRow {
    /// From 1.
    row: i64,
    #[serde(flatten)]
    view: EventView,
}

/// A row that made no payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionRow {
    /// From 1.
    row: i64,
    /// `duplicate`, `mismatched` or `invalid`; `rejected` in the list of exceptions.
    #[schema(value_type = String, example = "duplicate")]
    status: &'static str,
    /// What is wrong.
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    /// The payment that has the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_event_id: Option<String>,
    /// The row of this upload that has the key, or the row of another file that is the same entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_row: Option<i64>,
    /// That other file.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// The fields that fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::api::problem::FieldError>>)]
    errors: Option<Box<RawValue>>,
    /// What a person decided about it.
    #[serde(flatten)]
    resolved: Option<ResolutionView>,
}

/// What a person decided about an exception of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolutionView {
    /// `posted` or `discarded`.
    #[schema(value_type = String, example = "discarded")]
    resolution: &'static str,
    /// Why.
    resolution_reason: String,
    /// The client that said so.
    resolved_by: String,
    resolved_at: String,
}

impl From<&Resolved> for ResolutionView {
    fn from(resolved: &Resolved) -> Self {
        Self {
            resolution: resolved.resolution.as_str(),
            resolution_reason: resolved.reason.clone(),
            resolved_by: resolved.by.clone(),
            resolved_at: resolved.at.to_string(),
        }
    }
}

impl From<&UploadException> for ExceptionRow {
    fn from(exception: &UploadException) -> Self {
        let status = match exception.code.as_str() {
            "duplicate" => "duplicate",
            "mismatched" => "mismatched",
            _ => "invalid",
        };
        Self {
            row: exception.row_no,
            status,
            code: exception.code.clone(),
            idempotency_key: exception.idempotency_key.clone(),
            payment_event_id: exception.event_id.map(|id| id.to_string()),
            first_row: exception.first_row_no,
            first_batch_id: exception.first_batch_id.map(|id| id.to_string()),
            amount_minor: exception.amount.map(|amount| amount.to_string()),
            currency: exception.currency.clone(),
            errors: exception.errors.clone().and_then(|errors| RawValue::from_string(errors).ok()),
            resolved: exception.resolved.as_ref().map(ResolutionView::from),
        }
    }
}

impl ExceptionRow {
    /// A row that was accepted, and that a posting rule refused, as an exception with a code.
    pub(crate) fn of_rejection(rejection: &FileRejection, code: &str) -> Self {
        let FileRejection { key, rejected, .. } = rejection;
        Self {
            row: rejected.row_no,
            status: "rejected",
            code: code.to_owned(),
            idempotency_key: key.clone(),
            payment_event_id: None,
            first_row: None,
            first_batch_id: None,
            amount_minor: rejected.money.map(|money| money.minor.to_string()),
            currency: rejected.money.map(|money| money.currency.code().to_owned()),
            errors: None,
            resolved: rejected.resolved.as_ref().map(ResolutionView::from),
        }
    }
}

impl ResultRow {
    pub(crate) fn of_event(row: i64, event: &EventStatus) -> Self {
        Self::Event(Box::new(EventRow { row, view: EventView::new(event, None) }))
    }

    /// The row of a return with what became of the fee that its feed or its loan's program asks for.
    pub(crate) fn followed_by(self, followed: Option<&Followed>) -> Self {
        match (self, followed) {
            (Self::Event(event), Some(followed)) => {
                let EventRow { row, view } = *event;
                Self::Event(Box::new(EventRow { row, view: view.followed_by(followed.clone()) }))
            }
            (row, _) => row,
        }
    }

    pub(crate) fn of_exception(exception: &UploadException) -> Self {
        Self::Exception(Box::new(exception.into()))
    }

    pub(crate) fn row_no(&self) -> i64 {
        match self {
            Self::Event(event) => event.row,
            Self::Exception(exception) => exception.row,
        }
    }

    /// The cells under [`CSV_HEADER`].
    fn to_csv(&self) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match self {
            Self::Event(event) => event.view.to_csv(event.row),
            Self::Exception(exception) => {
                let mut cells = vec![String::new(); CSV_HEADER.split(',').count()];
                let detail = exception.errors.as_ref().map_or("", |errors| errors.get());
                let first_row = exception.first_row.map(|row| row.to_string()).unwrap_or_default();
                let known = [
                    (0, exception.row.to_string()),
                    (1, exception.status.to_owned()),
                    (2, exception.code.clone()),
                    (3, text(&exception.idempotency_key)),
                    (4, text(&exception.payment_event_id)),
                    (7, text(&exception.amount_minor)),
                    (8, text(&exception.currency)),
                    (15, first_row),
                    (16, guarded(detail)),
                    (18, text(&exception.first_batch_id)),
                    (19, exception.resolved.as_ref().map_or_else(String::new, |it| it.resolution.to_owned())),
                ];
                for (at, cell) in known {
                    if let Some(place) = cells.get_mut(at) {
                        *place = cell;
                    }
                }
                cells
            }
        }
    }
}

impl Tabular for ResultRow {
    fn lines(&self, write: &mut dyn FnMut(Vec<String>)) {
        write(self.to_csv());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(code: &str) -> UploadException {
        UploadException {
            row_no: 7,
            code: code.to_owned(),
            idempotency_key: Some("payment:1".to_owned()),
            event_id: None,
            first_row_no: Some(3),
            first_batch_id: None,
            amount: None,
            currency: None,
            errors: Some(r#"[{"field":"amount_minor"}]"#.to_owned()),
            resolved: None,
        }
    }

    #[test]
    fn an_exception_leaves_out_what_it_does_not_know() {
        let row = serde_json::to_value(ResultRow::of_exception(&exception("malformed_json"))).unwrap();
        assert_eq!(row["status"], "invalid");
        assert_eq!(row["errors"][0]["field"], "amount_minor");
        assert!(row.get("payment_event_id").is_none() && !row.to_string().contains("null"));
    }

    #[test]
    fn csv_rows_have_the_headers_cells() {
        let cells = ResultRow::of_exception(&exception("duplicate")).to_csv();
        let header: Vec<&str> = CSV_HEADER.trim_end().split(',').collect();
        assert_eq!(cells.len(), header.len());
        let cell = |name: &str| cells[header.iter().position(|known| *known == name).unwrap()].clone();
        assert_eq!((cell("row").as_str(), cell("first_row").as_str()), ("7", "3"));
        assert_eq!(cell("status"), "duplicate");
    }
}
