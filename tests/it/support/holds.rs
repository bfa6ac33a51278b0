//! Owns how a test puts a loan on hold and releases it at the store itself.

use std::sync::Arc;
use std::time::Duration;

use hpts::core::event::{HoldMode, HoldOperation, IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, LoanId, LoanKey, PublisherId, TenantId};
use hpts::core::money::Currency;
use hpts::store::{HoldChange, NewUpload, OperationDone, Store, SweepCandidate};
use uuid::Uuid;

use super::books::{day, next_id};

/// A change under a key of its own.
pub(crate) fn change(tenant: TenantId, loan_key: LoanKey, mode: Option<HoldMode>, reason: &str) -> HoldChange {
    let (loan_id, reason) = (LoanId(Uuid::nil()), reason.to_owned());
    let asked = match mode {
        Some(mode) => HoldOperation::Hold { loan_id, mode, reason: reason.clone() },
        None => HoldOperation::Release { loan_id, reason: reason.clone() },
    };
    let upload = Upload { operation: UploadOperation::Hold(asked), currency: Currency::USD, received_on: day(6, 1) };
    let id: EventId = next_id();
    let key = IdempotencyKey::parse(&format!("hold:{}", Uuid::new_v4())).unwrap();
    let event = NewEvent::of_upload(id, tenant, key, upload, PublisherId(Uuid::nil()), "person".to_owned());
    let operation = NewUpload { event, holder: Uuid::new_v4(), lease: Duration::from_secs(30), file: None };
    HoldChange { operation, loan_key, mode, reason, answer: b"{}".to_vec() }
}

/// Changes a hold; answers what goes on.
pub(crate) async fn put(store: &Arc<dyn Store>, change: HoldChange) -> Vec<SweepCandidate> {
    let (done, goes_on) = store.change_hold(change).await.unwrap();
    assert!(matches!(done, OperationDone::Done(_)), "{done:?}");
    goes_on
}

/// Lets a loan's events wait.
pub(crate) async fn hold(store: &Arc<dyn Store>, tenant: TenantId, loan: LoanKey) {
    assert_eq!(put(store, change(tenant, loan, Some(HoldMode::Wait), "a person looks")).await, []);
}

/// Lets a loan go on; answers what waited.
pub(crate) async fn release(store: &Arc<dyn Store>, tenant: TenantId, loan: LoanKey) -> Vec<SweepCandidate> {
    put(store, change(tenant, loan, None, "looked at")).await
}
