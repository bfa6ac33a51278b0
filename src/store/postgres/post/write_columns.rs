//! Owns the way from a batch's outcome to the column arrays of the write statement.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::lock::Locked;
use crate::core::event::NewEvent;
use crate::core::ids::Seq;
use crate::core::ledger::{JournalEntry, Posting, RejectionCode};
use crate::core::loan::{Balances, LoanState};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::copy::CopiedRows;
use crate::store::postgres::intake_rows::Prepared;
use crate::store::postgres::rows::key_column;

/// Arrays of unequal length laid end to end: each row takes `first..=last`, counted from 1. Slicing a bound array is
/// cheaper than parsing one text per row.
#[derive(Default)]
struct Slices {
    firsts: Vec<i32>,
    lasts: Vec<i32>,
    end: i32,
}

impl Slices {
    fn push(&mut self, count: usize) -> Result<(), StoreError> {
        let too_long = || StoreError::Broken("a batch has too many lines".to_owned());
        let count = i32::try_from(count).map_err(|_| too_long())?;
        self.firsts.push(self.end.checked_add(1).ok_or_else(too_long)?);
        self.end = self.end.checked_add(count).ok_or_else(too_long)?;
        self.lasts.push(self.end);
        Ok(())
    }
}

/// The rows of `postings`.
#[derive(Default)]
pub(super) struct PostingColumns {
    seqs: Vec<i64>,
    loan_keys: Vec<Uuid>,
    loan_versions: Vec<Option<i64>>,
    outcomes: Vec<&'static str>,
    rejections: Vec<Option<&'static str>>,
    lines: Slices,
    layers: Vec<&'static str>,
    fees: Vec<Option<i64>>,
    interest: Vec<Option<i64>>,
    principal: Vec<Option<i64>>,
    suspense: Vec<Option<i64>>,
    undoes: Vec<Option<i64>>,
    restates: Vec<Option<i64>>,
    effective_dates: Vec<NaiveDate>,
    booking_dates: Vec<NaiveDate>,
    posted_at: Vec<DateTime<Utc>>,
    chain_hashes: Vec<Option<[u8; 32]>>,
    accounts: Vec<i16>,
    amounts: Vec<i64>,
}

impl PostingColumns {
    /// The rows of some postings.
    pub(super) fn of(postings: &[(Seq, &Posting)]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for (seq, posting) in postings {
            columns.push(*seq, posting)?;
        }
        Ok(columns)
    }

    fn push(&mut self, seq: Seq, posting: &Posting) -> Result<(), StoreError> {
        let lines = posting.entry.as_ref().map_or([].as_slice(), |entry| entry.lines());
        self.lines.push(lines.len())?;
        self.accounts.extend(lines.iter().map(|line| line.account.number()));
        self.amounts.extend(lines.iter().map(|line| line.signed.units()));
        self.seqs.push(seq.0);
        self.loan_keys.push(key_column(posting.loan_key));
        self.loan_versions.push(posting.loan_version);
        self.outcomes.push(posting.outcome.as_str());
        self.rejections.push(posting.outcome.rejection().map(RejectionCode::as_str));
        self.layers.push(posting.entry.as_ref().map(JournalEntry::layer).unwrap_or_default().as_str());
        self.fees.push(posting.allocation.map(|split| split.fees.units()));
        self.interest.push(posting.allocation.map(|split| split.interest.units()));
        self.principal.push(posting.allocation.map(|split| split.principal.units()));
        self.suspense.push(posting.allocation.map(|split| split.suspense.units()));
        self.undoes.push(posting.undoes_seq.map(|seq| seq.0));
        self.restates.push(posting.restates_seq.map(|seq| seq.0));
        self.effective_dates.push(posting.effective_date);
        self.booking_dates.push(posting.booking_date);
        self.posted_at.push(posting.posted_at.utc());
        self.chain_hashes.push(posting.chain_hash);
        Ok(())
    }

    /// Binds $35 to $54.
    pub(super) fn bind(self, query: Prepared<'_>) -> Prepared<'_> {
        query
            .bind(self.seqs)
            .bind(self.loan_keys)
            .bind(self.loan_versions)
            .bind(self.outcomes)
            .bind(self.rejections)
            .bind(self.lines.firsts)
            .bind(self.lines.lasts)
            .bind(self.layers)
            .bind(self.fees)
            .bind(self.interest)
            .bind(self.principal)
            .bind(self.suspense)
            .bind(self.undoes)
            .bind(self.restates)
            .bind(self.effective_dates)
            .bind(self.booking_dates)
            .bind(self.posted_at)
            .bind(self.chain_hashes)
            .bind(self.accounts)
            .bind(self.amounts)
    }
}

/// How many columns a copied posting has, and how many bytes to begin with.
const POSTING_COLUMNS: i16 = 18;
const POSTING_BYTES: usize = 400;

/// The same rows in the form of a copy.
pub(super) fn copied(postings: &[(Seq, &Posting)]) -> CopiedRows {
    let mut rows = CopiedRows::of_columns(POSTING_COLUMNS, postings.len().saturating_mul(POSTING_BYTES));
    for (seq, posting) in postings {
        copy_posting(rows.row(), *seq, posting);
    }
    rows
}

fn copy_posting(row: &mut CopiedRows, seq: Seq, posting: &Posting) {
    let lines = posting.entry.as_ref().map_or([].as_slice(), |entry| entry.lines());
    let split = posting.allocation;
    row.bigint(seq.0)
        .uuid(key_column(posting.loan_key))
        .optional(posting.loan_version, CopiedRows::bigint)
        .text(posting.outcome.as_str())
        .optional(posting.outcome.rejection().map(RejectionCode::as_str), CopiedRows::text)
        .smallints(lines.iter().map(|line| line.account.number()))
        .bigints(lines.iter().map(|line| line.signed.units()))
        .text(posting.entry.as_ref().map(JournalEntry::layer).unwrap_or_default().as_str())
        .optional(split.map(|split| split.fees.units()), CopiedRows::bigint)
        .optional(split.map(|split| split.interest.units()), CopiedRows::bigint)
        .optional(split.map(|split| split.principal.units()), CopiedRows::bigint)
        .optional(split.map(|split| split.suspense.units()), CopiedRows::bigint)
        .optional(posting.undoes_seq.map(|seq| seq.0), CopiedRows::bigint)
        .optional(posting.restates_seq.map(|seq| seq.0), CopiedRows::bigint)
        .date(posting.effective_date)
        .date(posting.booking_date)
        .instant(posting.posted_at)
        .optional(posting.chain_hash.as_ref(), |row, hash| row.bytes(hash));
}

/// Binds $1 to $17: the loans as they stand afterwards, as they were read, and whether they are locked.
pub(super) fn bind_loans<'q>(query: Prepared<'q>, locked: &Locked, states: &[LoanState]) -> Prepared<'q> {
    let before = |state: &LoanState| locked.loans.get(&state.key).map(|loan| &loan.state);
    let owed_before = |part: fn(&Balances) -> Minor| -> Vec<Option<i64>> {
        states.iter().map(|state| before(state).map(|before| part(&before.balances).units())).collect()
    };
    query
        .bind(states.iter().map(|state| key_column(state.key)).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.version).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.last_posted_seq.0).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.last_posted_at.utc()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.balances.fees.units()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.balances.interest.units()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.balances.principal.units()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.balances.suspense.units()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.greatest_effective_date).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.chain_head).collect::<Vec<_>>())
        .bind(states.iter().map(|state| before(state).map(|before| before.chain_head)).collect::<Vec<_>>())
        .bind(states.iter().map(|state| before(state).map(|before| before.last_posted_seq.0)).collect::<Vec<_>>())
        .bind(owed_before(|owed| owed.fees))
        .bind(owed_before(|owed| owed.interest))
        .bind(owed_before(|owed| owed.principal))
        .bind(owed_before(|owed| owed.suspense))
        .bind(!locked.is_by_sight)
}

/// Tenant, account, currency, layer and booking date.
type AccountKey = (Uuid, i16, String, &'static str, NaiveDate);

/// What the batch adds to the totals and to the feed. Ordered maps: rows are locked in key order.
#[derive(Default)]
pub(super) struct Sums {
    accounts: BTreeMap<AccountKey, (i128, i128)>,
    batches: BTreeMap<(Uuid, &'static str, String), (i64, i128)>,
    changes: BTreeMap<Uuid, Vec<i64>>,
}

impl Sums {
    /// Adds a finished event.
    pub(super) fn push(&mut self, seq: Seq, event: &NewEvent, posting: &Posting) {
        self.changes.entry(event.tenant.0).or_default().push(seq.0);
        if let Some((batch, _)) = event.origin.batch {
            let currency = event.command.currency().code().to_owned();
            let (count, amount) = self.batches.entry((batch.0, posting.outcome.as_str(), currency)).or_default();
            *count = count.saturating_add(1);
            let units = event.command.amount().map_or(0, |amount| i128::from(amount.units()));
            *amount = amount.saturating_add(units);
        }
        let Some(entry) = &posting.entry else { return };
        let currency = event.command.currency();
        for line in entry.lines() {
            let (layer, currency) = (entry.layer().as_str(), currency.code().to_owned());
            let key = (event.tenant.0, line.account.number(), currency, layer, posting.booking_date);
            let (debits, credits) = self.accounts.entry(key).or_default();
            // 128 bits hold more lines of 64 bits than a batch has.
            let side = if line.signed.is_negative() { credits } else { debits };
            *side = side.saturating_add(i128::from(line.magnitude()));
        }
    }

    /// Binds $18 to $34.
    pub(super) fn bind(self, query: Prepared<'_>, lane_slot: i16) -> Result<Prepared<'_>, StoreError> {
        let (keys, sums): (Vec<AccountKey>, Vec<(i128, i128)>) = self.accounts.into_iter().unzip();
        let query = query
            .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| key.1).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| key.2.clone()).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| key.3).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| key.4).collect::<Vec<_>>())
            .bind(sums.iter().map(|sum| sum.0.to_string()).collect::<Vec<_>>())
            .bind(sums.iter().map(|sum| sum.1.to_string()).collect::<Vec<_>>())
            .bind(lane_slot);
        let (keys, sums): (Vec<_>, Vec<_>) = self.batches.into_iter().unzip();
        let currencies: Vec<String> = keys.iter().map(|key: &(Uuid, &'static str, String)| key.2.clone()).collect();
        let query = query
            .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| key.1).collect::<Vec<_>>())
            .bind(sums.iter().map(|sum| sum.0).collect::<Vec<_>>())
            .bind(sums.iter().map(|sum| sum.1.to_string()).collect::<Vec<_>>());
        let mut slices = Slices::default();
        let (tenants, seqs): (Vec<Uuid>, Vec<Vec<i64>>) = self.changes.into_iter().unzip();
        for seqs in &seqs {
            slices.push(seqs.len())?;
        }
        Ok(query.bind(tenants).bind(slices.firsts).bind(slices.lasts).bind(seqs.concat()).bind(currencies))
    }
}
