//! Owns what few postings change of a loan: its charge-off and its terms. A batch that changes none costs no statement
//! more.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::lock::Locked;
use crate::core::loan::{ChargedOff, LoanState, LossAccount, SuspenseRelease};
use crate::store::StoreError;
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::rows::key_column;

/// Writes the terms of loans that the transaction holds.
pub(in crate::store::postgres) const WRITE_TERMS: &str = "UPDATE loans SET program_id = n.program_id, status = n.status, \
     waterfall = n.waterfall, charged_off_on = n.charged_off_on, \
     loss_account = n.loss_account, memo_fees = n.memo_fees, memo_interest = n.memo_interest, \
     memo_principal = n.memo_principal, suspense_release = n.suspense_release \
     FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], \
     $8::uuid[], $9::text[], $10::text[]) AS n (loan_key, charged_off_on, loss_account, memo_fees, memo_interest, \
     memo_principal, suspense_release, program_id, status, waterfall) \
     WHERE loans.loan_key = n.loan_key";

/// Writes the terms of the loans whose terms the batch has changed.
pub(in crate::store::postgres) async fn write(
    connection: &mut PgConnection,
    locked: &Locked,
    states: &[LoanState],
) -> Result<(), StoreError> {
    let is_changed =
        |state: &&LoanState| locked.loans.get(&state.key).map(|row| row.state.terms()) != Some(state.terms());
    let changed: Vec<&LoanState> = states.iter().filter(is_changed).collect();
    if changed.is_empty() {
        return Ok(());
    }
    if locked.is_by_sight {
        return Err(overtaken("terms change on loans that are not locked"));
    }
    let charged_off = |part: fn(&ChargedOff) -> i64| {
        changed.iter().map(|state| state.charged_off.as_ref().map_or(0, part)).collect::<Vec<_>>()
    };
    let days: Vec<Option<NaiveDate>> = changed.iter().map(|state| state.charged_off.map(|off| off.on)).collect();
    let losses: Vec<Option<&str>> =
        changed.iter().map(|state| state.charged_off.map(|off| LossAccount::as_str(off.loss))).collect();
    let query = sqlx::query(WRITE_TERMS)
        .bind(changed.iter().map(|state| key_column(state.key)).collect::<Vec<_>>())
        .bind(days)
        .bind(losses)
        .bind(charged_off(|off| off.memo.fees.units()))
        .bind(charged_off(|off| off.memo.interest.units()))
        .bind(charged_off(|off| off.memo.principal.units()))
        .bind(changed.iter().map(|state| SuspenseRelease::as_str(state.suspense_release)).collect::<Vec<_>>())
        .bind(changed.iter().map(|state| state.program_id.map(|program| program.0)).collect::<Vec<_>>())
        .bind(changed.iter().map(|state| state.status.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|state| state.waterfalls.to_string()).collect::<Vec<_>>());
    let written = query.execute(connection).await.map_err(classify)?.rows_affected();
    if usize::try_from(written) == Ok(changed.len()) { Ok(()) } else { Err(overtaken("a loan was gone")) }
}
