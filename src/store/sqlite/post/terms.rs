//! Owns what few postings change of a loan: its charge-off and its terms. A batch that changes none costs no statement
//! more.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::core::ids::LoanKey;
use crate::core::loan::LoanState;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{TermsChange, json};
use crate::store::sqlite::post::loans::LockedLoan;
use crate::store::sqlite::rows::broken;

/// Writes the terms of loans.
pub(in crate::store::sqlite) const WRITE_TERMS: &str = "
    UPDATE loans SET charged_off_on = change.value ->> 'charged_off_on', loss_account = change.value ->> 'loss_account',
        memo_fees = change.value ->> 'memo_fees', memo_interest = change.value ->> 'memo_interest',
        memo_principal = change.value ->> 'memo_principal', suspense_release = change.value ->> 'suspense_release'
    FROM jsonb_each(?1) AS change
    WHERE loans.loan_key = unhex(change.value ->> 'loan_key')";

/// Writes the terms of the loans whose terms the batch has changed.
pub(in crate::store::sqlite) async fn write(
    db: &mut SqliteConnection,
    before: &BTreeMap<LoanKey, LockedLoan>,
    states: &[LoanState],
) -> Result<(), StoreError> {
    let terms_before = |key: &LoanKey| before.get(key).and_then(|loan| loan.state.as_ref()).map(LoanState::terms);
    let is_changed = |state: &&LoanState| terms_before(&state.key) != Some(state.terms());
    let changed: Vec<TermsChange> = states.iter().filter(is_changed).map(TermsChange::new).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let written = sqlx::query(WRITE_TERMS).bind(json(&changed)?).execute(db).await.map_err(store_error)?;
    let is_whole = usize::try_from(written.rows_affected()) == Ok(changed.len());
    if is_whole { Ok(()) } else { Err(broken("a loan whose terms changed is gone")) }
}
