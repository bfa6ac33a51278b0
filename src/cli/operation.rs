//! Owns operations that an operator does at the command line: kept as an event with who did what, as for a caller of the
//! API.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::{CliError, new_id};
use crate::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use crate::core::ids::{EventId, PublisherId, TenantId};
use crate::runtime::clock::Clock;
use crate::store::{NewUpload, OperationDone, Store, TenantRecord};

/// Who did it.
const ACTOR: &str = "hpts";
/// An operation without rows is over at once.
const LEASE: Duration = Duration::from_mins(1);

/// The operation, for the store.
pub(super) fn operation(tenant: &TenantRecord, asked: UploadOperation, clock: &Clock) -> Result<NewUpload, CliError> {
    let id = EventId(new_id(clock));
    let key = format!("{}:{id}", asked.as_str());
    let key = IdempotencyKey::parse(&key).map_err(|error| CliError::Refused(error.to_string()))?;
    let upload =
        Upload { operation: asked, currency: tenant.base_currency, received_on: business_date(tenant, clock)? };
    let publisher = PublisherId(uuid::Uuid::new_v4());
    let event = NewEvent::of_upload(id, tenant.id, key, upload, publisher, ACTOR.to_owned());
    Ok(NewUpload { event, holder: uuid::Uuid::new_v4(), lease: LEASE, file: None })
}

/// Its key was made for it, so that nobody can have taken it.
pub(super) fn done(done: &OperationDone) -> Result<(), CliError> {
    match done {
        OperationDone::Done(_) => Ok(()),
        OperationDone::Known(_) => Err(CliError::Refused("the key of the operation was taken".to_owned())),
    }
}

/// A tenant's settings.
pub(super) async fn known_tenant(store: &Arc<dyn Store>, tenant: TenantId) -> Result<TenantRecord, CliError> {
    let record = store.tenant(tenant).await?;
    record.ok_or_else(|| CliError::Refused(format!("there is no tenant {tenant}")))
}

/// Today, in the tenant's zone.
pub(super) fn business_date(tenant: &TenantRecord, clock: &Clock) -> Result<chrono::NaiveDate, CliError> {
    let zone: chrono_tz::Tz =
        tenant.time_zone.parse().map_err(|_| CliError::Refused("the tenant's time zone is not known".to_owned()))?;
    Ok(clock.now().utc().with_timezone(&zone).date_naive())
}
