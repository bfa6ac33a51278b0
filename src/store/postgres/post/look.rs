//! Owns the first phase of a batch of plain payments: its loans as they are known or read, without locks.
//!
//! Nobody is kept from posting to such loans. What was taken for true is part of the condition under which the batch writes
//! them; see [`known`](super::known).

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::known::KnownLoans;
use super::lock::{LOCK_LOANS, Locked, loans_by_key, lock, read_loans};
use crate::core::ids::LoanKey;
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::periods::share_periods;
use crate::store::postgres::rows::LoanRow;
use crate::store::{PostWork, StoreError};

/// Reads loans as they stand.
const READ_LOANS: &str = loans_by_key!("OFFSET 0");

/// Keeps accounting periods from being closed until the commit.
const SHARE_PERIODS: &str = concat!("SELECT ", share_periods!());

/// The statements of this phase.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 2] =
    [("read_loans", READ_LOANS), ("share_periods", SHARE_PERIODS)];

/// The loans that messages name. Locks them where looking does not do: where one is absent or on hold, and where a batch
/// comes again, works despite a hold, or takes one event at a time to find the one that fails.
pub(super) async fn look(
    connection: &mut PgConnection,
    work: &PostWork,
    known: &KnownLoans,
) -> Result<Locked, StoreError> {
    if work.skip_locked || work.despite_hold || work.per_loan_max == 1 {
        return lock(connection, work).await;
    }
    let keys = work.loan_keys();
    let known = known.of(&keys);
    let unknown: BTreeSet<LoanKey> = keys.iter().copied().filter(|key| !known.contains_key(key)).collect();
    // A statement without a row would not share the periods; then there is an absent loan, and all are locked.
    let mut loans = if unknown.is_empty() {
        sqlx::query(SHARE_PERIODS).execute(&mut *connection).await.map_err(classify)?;
        BTreeMap::new()
    } else {
        read_loans(connection, READ_LOANS, &unknown).await?
    };
    loans.extend(known.into_iter().map(|(key, state)| (key, LoanRow { state, on_hold: false })));
    if loans.len() < keys.len() || loans.values().any(|loan| loan.on_hold) {
        return lock(connection, work).await;
    }
    Ok(Locked { loans, is_by_sight: true, ..Locked::default() })
}

/// Locks the loans of a batch that turns out to rest on more than they say of themselves. What was read of them so far
/// holds where nobody posted to them since.
pub(super) async fn make_sure(connection: &mut PgConnection, locked: &mut Locked) -> Result<(), StoreError> {
    let keys = locked.loans.keys().copied().collect();
    if read_loans(connection, LOCK_LOANS, &keys).await? != locked.loans {
        return Err(overtaken("a loan is not as it was known"));
    }
    locked.is_by_sight = false;
    Ok(())
}
