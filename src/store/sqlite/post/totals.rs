//! Owns the sums that a batch raises: per account and per upload, in key order, once per transaction.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::event::NewEvent;
use crate::core::ids::{PaymentBatchId, TenantId};
use crate::core::ledger::{AccountCode, Direction, Layer, Posting};
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{AccountTotalRow, BatchTotalRow, hex_id, json};
use crate::store::sqlite::rows::{broken, date, get, id, sum, tenant, word};

pub(in crate::store::sqlite) const ACCOUNT_TOTALS_OF_KEYS: &str = "
    SELECT t.tenant, t.account, t.currency, t.layer, t.booking_date, t.debits, t.credits
    FROM jsonb_each(?1) AS wanted
    JOIN account_totals AS t ON t.tenant = unhex(wanted.value ->> 'tenant')
        AND t.account = wanted.value ->> 'account' AND t.currency = wanted.value ->> 'currency'
        AND t.layer = wanted.value ->> 'layer' AND t.booking_date = wanted.value ->> 'booking_date'
        AND t.lane_slot = ?2";

pub(in crate::store::sqlite) const BATCH_TOTALS_OF_KEYS: &str = "
    SELECT t.batch_id, t.outcome, t.currency, t.count, t.amount
    FROM jsonb_each(?1) AS wanted
    JOIN batch_totals AS t ON t.batch_id = unhex(wanted.value ->> 'batch_id')
        AND t.outcome = wanted.value ->> 'outcome' AND t.currency = wanted.value ->> 'currency'
        AND t.lane_slot = ?2";

/// The sums come whole: 128 bits are added up in Rust, by the one writer.
pub(in crate::store::sqlite) const SET_BATCH_TOTALS: &str = "
    INSERT INTO batch_totals (batch_id, outcome, currency, lane_slot, count, amount, last_posted_at)
    SELECT unhex(value ->> 'batch_id'), value ->> 'outcome', value ->> 'currency', ?2, value ->> 'count',
        value ->> 'amount', ?3
    FROM jsonb_each(?1) WHERE true
    ON CONFLICT (batch_id, outcome, currency, lane_slot)
    DO UPDATE SET count = excluded.count, amount = excluded.amount, last_posted_at = excluded.last_posted_at";

type AccountKey = (TenantId, AccountCode, Currency, Layer, NaiveDate);
type BatchKey = (PaymentBatchId, &'static str, Currency);

/// What a batch adds to the sums.
#[derive(Debug)]
pub(super) struct Totals {
    accounts: BTreeMap<AccountKey, (i128, i128)>,
    batches: BTreeMap<BatchKey, (i64, i128)>,
    last_posted_at: Timestamp,
}

impl Default for Totals {
    fn default() -> Self {
        Self { accounts: BTreeMap::new(), batches: BTreeMap::new(), last_posted_at: Timestamp::EPOCH }
    }
}

impl Totals {
    pub(super) fn add(&mut self, event: &NewEvent, posting: &Posting) -> Result<(), StoreError> {
        if let Some((batch, _)) = event.origin.batch {
            let key = (batch, posting.outcome.as_str(), event.command.currency());
            let total = self.batches.entry(key).or_default();
            self.last_posted_at = self.last_posted_at.max(posting.posted_at);
            let amount = i128::from(event.command.amount().map_or(0, Minor::units));
            total.0 = total.0.checked_add(1).ok_or_else(|| broken("batch_totals.count"))?;
            total.1 = plus(total.1, amount)?;
        }
        let Some(entry) = &posting.entry else {
            return Ok(());
        };
        let currency = event.command.currency();
        for line in entry.lines() {
            let key = (event.tenant, line.account, currency, entry.layer(), posting.booking_date);
            let total = self.accounts.entry(key).or_default();
            let magnitude = i128::from(line.magnitude());
            match line.direction() {
                Direction::Debit => total.0 = plus(total.0, magnitude)?,
                Direction::Credit => total.1 = plus(total.1, magnitude)?,
            }
        }
        Ok(())
    }

    /// The rows of `account_totals` as they will be, and how many.
    pub(super) async fn account_totals(
        &mut self,
        db: &mut SqliteConnection,
        lane_slot: i16,
    ) -> Result<(String, usize), StoreError> {
        if !self.accounts.is_empty() {
            let keys = json(&self.account_rows())?;
            let query = sqlx::query(ACCOUNT_TOTALS_OF_KEYS).bind(keys).bind(lane_slot);
            for row in query.fetch_all(db).await.map_err(store_error)? {
                self.raise_account(&row)?;
            }
        }
        Ok((json(&self.account_rows())?, self.accounts.len()))
    }

    /// Raises `batch_totals`, where rows of uploads are among the events.
    pub(super) async fn write_batch_totals(
        mut self,
        db: &mut SqliteConnection,
        lane_slot: i16,
    ) -> Result<(), StoreError> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let keys = json(&self.batch_rows())?;
        let query = sqlx::query(BATCH_TOTALS_OF_KEYS).bind(keys).bind(lane_slot);
        for row in query.fetch_all(&mut *db).await.map_err(store_error)? {
            self.raise_batch(&row)?;
        }
        let set = sqlx::query(SET_BATCH_TOTALS).bind(json(&self.batch_rows())?).bind(lane_slot);
        let set = set.bind(self.last_posted_at.micros());
        set.execute(db).await.map_err(store_error)?;
        Ok(())
    }

    fn raise_account(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        let account = AccountCode::from_number(get(row, "account")?).ok_or_else(|| broken("account"))?;
        let key = (tenant(row)?, account, word(row, "currency")?, word(row, "layer")?, date(row, "booking_date")?);
        let total = self.accounts.get_mut(&key).ok_or_else(|| broken("account_totals"))?;
        total.0 = plus(total.0, sum(row, "debits")?)?;
        total.1 = plus(total.1, sum(row, "credits")?)?;
        Ok(())
    }

    fn raise_batch(&mut self, row: &SqliteRow) -> Result<(), StoreError> {
        let (batch, outcome): (_, &str) = (PaymentBatchId(id(row, "batch_id")?), get(row, "outcome")?);
        let currency: Currency = word(row, "currency")?;
        let total = self.batches.iter_mut().find(|(key, _)| key.0 == batch && key.1 == outcome && key.2 == currency);
        let (_, total) = total.ok_or_else(|| broken("batch_totals"))?;
        total.0 = total.0.checked_add(get(row, "count")?).ok_or_else(|| broken("batch_totals.count"))?;
        total.1 = plus(total.1, sum(row, "amount")?)?;
        Ok(())
    }

    fn account_rows(&self) -> Vec<AccountTotalRow> {
        self.accounts
            .iter()
            .map(|((tenant, account, currency, layer, booking_date), (debits, credits))| AccountTotalRow {
                tenant: hex_id(tenant.0),
                account: account.number(),
                currency: currency.code().to_owned(),
                layer: layer.as_str(),
                booking_date: *booking_date,
                debits: debits.to_string(),
                credits: credits.to_string(),
            })
            .collect()
    }

    fn batch_rows(&self) -> Vec<BatchTotalRow> {
        self.batches
            .iter()
            .map(|((batch, outcome, currency), (count, amount))| BatchTotalRow {
                batch_id: hex_id(batch.0),
                outcome,
                currency: currency.code().to_owned(),
                count: *count,
                amount: amount.to_string(),
            })
            .collect()
    }
}

fn plus(sum: i128, amount: i128) -> Result<i128, StoreError> {
    sum.checked_add(amount).ok_or_else(|| broken("a total leaves 128 bits"))
}
