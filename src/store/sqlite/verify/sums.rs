//! Owns the comparison of `account_totals` with the lines they sum, and the trial balance.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{bytes, get, sum};
use crate::store::sqlite::verify::findings::Findings;

/// Every sum, lane slots together only in Rust: 128 bits.
pub(in crate::store::sqlite) const ALL_ACCOUNT_TOTALS: &str = "
    SELECT tenant, account, currency, layer, booking_date, debits, credits FROM account_totals";

/// Whose sum: tenant, account, currency, layer, booking date.
pub(super) type AccountKey = ([u8; 16], i64, String, String, String);

/// Debits and credits.
pub(super) type Sides = (i128, i128);

/// Adds a signed amount to its side.
pub(super) fn add(sides: &mut Sides, signed: i64) {
    let magnitude = i128::from(signed.unsigned_abs());
    if signed < 0 {
        sides.1 = sides.1.saturating_add(magnitude);
    } else {
        sides.0 = sides.0.saturating_add(magnitude);
    }
}

pub(super) async fn compare_totals(
    db: &mut SqliteConnection,
    mut made: BTreeMap<AccountKey, Sides>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut stored: BTreeMap<AccountKey, Sides> = BTreeMap::new();
    for row in sqlx::query(ALL_ACCOUNT_TOTALS).fetch_all(db).await.map_err(store_error)? {
        let key: AccountKey = (
            bytes(&row, "tenant")?,
            get(&row, "account")?,
            get(&row, "currency")?,
            get(&row, "layer")?,
            get(&row, "booking_date")?,
        );
        let sides = stored.entry(key).or_default();
        sides.0 = sides.0.saturating_add(sum(&row, "debits")?);
        sides.1 = sides.1.saturating_add(sum(&row, "credits")?);
    }
    check_trial_balance(&stored, findings);
    for (key, stored) in stored {
        let lines = made.remove(&key).unwrap_or_default();
        if stored != lines {
            findings.add("account_totals", || format!("{}: {stored:?} stored, {lines:?} in the lines", name(&key)));
        }
    }
    for (key, lines) in made {
        findings.add("account_totals", || format!("{}: nothing stored, {lines:?} in the lines", name(&key)));
    }
    Ok(())
}

fn name((tenant, account, currency, layer, booking_date): &AccountKey) -> String {
    let tenant = uuid::Uuid::from_bytes(*tenant);
    format!("tenant {tenant} account {account:04} {currency} {layer} {booking_date}")
}

fn check_trial_balance(stored: &BTreeMap<AccountKey, Sides>, findings: &mut Findings) {
    let mut balances: BTreeMap<(&[u8; 16], &str, &str), i128> = BTreeMap::new();
    for ((tenant, _, currency, layer, _), (debits, credits)) in stored {
        let balance = balances.entry((tenant, currency, layer)).or_default();
        *balance = balance.saturating_add(*debits).saturating_sub(*credits);
    }
    for ((tenant, currency, layer), balance) in balances.into_iter().filter(|(_, balance)| *balance != 0) {
        let tenant = uuid::Uuid::from_bytes(*tenant);
        findings.add("trial_balance", || format!("tenant {tenant} {currency} {layer}: debits - credits = {balance}"));
    }
}
