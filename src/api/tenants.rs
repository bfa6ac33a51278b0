//! Owns what handlers know of tenants: settings a few seconds old at most.

use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;

use crate::api::auth::AuthError;
use crate::api::error::ApiError;
use crate::api::ttl_cache::{TtlCache, TtlLimits};
use crate::core::ids::TenantId;
use crate::core::ledger::Chart;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::{Store, TenantRecord};

const CACHE: TtlLimits =
    TtlLimits { fresh: Duration::from_secs(5), kept: Duration::from_secs(10), entries_max: 10_000 };

/// A tenant's settings, parsed.
#[derive(Debug)]
pub(crate) struct Tenant {
    zone: Tz,
    future_days: u64,
    /// Its currency where a request names none.
    pub(crate) base_currency: Currency,
    /// The most one payment may be.
    pub(crate) payment_limit: Option<Minor>,
    /// Under which codes and names it knows the accounts.
    pub(crate) chart: Chart,
}

impl Tenant {
    fn of_record(record: &TenantRecord, chart: Chart) -> Result<Self, ApiError> {
        let zone = record.time_zone.parse().map_err(|_| ApiError::Broken("a tenant's time zone is not known"))?;
        let future_days = u64::try_from(record.future_days).unwrap_or(0);
        let (base_currency, payment_limit) = (record.base_currency, record.payment_limit);
        Ok(Self { zone, future_days, base_currency, payment_limit, chart })
    }

    /// Today, in the tenant's zone.
    pub(crate) fn business_date(&self, now: Timestamp) -> NaiveDate {
        now.utc().with_timezone(&self.zone).date_naive()
    }

    /// The last day something may be dated.
    pub(crate) fn latest_effective(&self, now: Timestamp) -> NaiveDate {
        let today = self.business_date(now);
        today.checked_add_days(Days::new(self.future_days)).unwrap_or(today)
    }
}

/// The tenants this process has met lately.
#[derive(Debug)]
pub(crate) struct Tenants(TtlCache<TenantId, Arc<Tenant>>);

impl Default for Tenants {
    fn default() -> Self {
        Self(TtlCache::new(CACHE))
    }
}

impl Tenants {
    /// A tenant's settings.
    ///
    /// # Errors
    /// Not a tenant, or the store is away.
    pub(crate) async fn get(&self, store: &dyn Store, id: TenantId, now: Timestamp) -> Result<Arc<Tenant>, ApiError> {
        if let Some(tenant) = self.0.get(&id, now) {
            return Ok(tenant);
        }
        let record = store.tenant(id).await?.ok_or(AuthError::TenantUnknown)?;
        let tenant = Arc::new(Tenant::of_record(&record, store.chart(id).await?)?);
        self.0.put(id, Arc::clone(&tenant), now);
        Ok(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenants_calendar_decides() {
        let record = TenantRecord {
            id: TenantId(uuid::Uuid::from_u128(1)),
            name: "t".to_owned(),
            time_zone: "Pacific/Auckland".to_owned(),
            base_currency: Currency::USD,
            future_days: 2,
            payment_limit: None,
        };
        let tenant = Tenant::of_record(&record, Chart::default()).unwrap();
        // 2026-05-01 12:00 UTC is already 2 May in Auckland.
        let now = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        assert_eq!(tenant.business_date(now).to_string(), "2026-05-02");
        assert_eq!(tenant.latest_effective(now).to_string(), "2026-05-04");
        let nowhere = TenantRecord { time_zone: "Nowhere".to_owned(), ..record };
        assert!(Tenant::of_record(&nowhere, Chart::default()).is_err());
    }
}
