//! Owns the statements that compare bank accounts with their cash. Sums of 128 bits are added up in Rust.

use chrono::NaiveDate;
use futures::TryStreamExt as _;
use sqlx::SqliteConnection;

use crate::core::ids::TenantId;
use crate::core::ledger::AccountCode;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{bytes, date, get};
use crate::store::{BankCheck, ReconciliationQuestion, StoreError, Sum};

/// The last statement of each account by the day. Where `max` stands alone, the other columns are those of its row.
pub(in crate::store::sqlite) const LAST_STATEMENTS: &str = "
    SELECT a.bank_account_ref, a.loan_key, max(s.statement_date) AS statement_date, s.closing_balance
    FROM bank_accounts AS a
    JOIN bank_statements AS s ON s.tenant = a.tenant AND s.bank_account_ref = a.bank_account_ref
    WHERE a.tenant = ?1 AND a.currency = ?2 AND s.statement_date <= ?3
    GROUP BY a.bank_account_ref ORDER BY a.bank_account_ref";

/// The cash that stands on an account's own loan by a day. By effective date: that is the bank's day, whenever it was
/// booked here.
pub(in crate::store::sqlite) const OWN_CASH: &str = "
    SELECT amount.value AS amount FROM postings AS p
    JOIN json_each(p.accounts) AS account
    JOIN json_each(p.amounts) AS amount ON amount.key = account.key
    WHERE p.loan_key = ?1 AND p.loan_version > 0 AND p.effective_date <= ?2 AND account.value = ?3";

/// The cash that other events have booked and the account's lines are matched with, and that of what took them back and
/// has no line of its own yet.
pub(in crate::store::sqlite) const OTHER_CASH: &str = "
    WITH matched (seq) AS (
        SELECT e.seq FROM bank_statements AS s
        JOIN bank_statement_lines AS l INDEXED BY bank_statement_lines_cash
            ON l.batch_id = s.batch_id AND l.state = 'matched'
        JOIN events AS e ON e.id = l.matched_event
        WHERE s.tenant = ?1 AND s.bank_account_ref = ?2 AND l.booking_date <= ?3),
    booked (seq) AS (
        SELECT seq FROM matched
        UNION ALL
        SELECT u.event_seq FROM matched AS m
        JOIN postings AS u ON u.undoes_seq = m.seq
        JOIN events AS r ON r.seq = u.event_seq
        WHERE NOT EXISTS (SELECT 1 FROM bank_statement_lines AS o WHERE o.matched_event = r.id))
    SELECT amount.value AS amount FROM booked AS b
    JOIN postings AS p ON p.event_seq = b.seq
    JOIN json_each(p.accounts) AS account
    JOIN json_each(p.amounts) AS amount ON amount.key = account.key
    WHERE account.value = ?4";

/// The open lines of an account by a day.
pub(in crate::store::sqlite) const WAITING: &str = "
    SELECT l.amount FROM bank_statements AS s
    JOIN bank_statement_lines AS l INDEXED BY bank_statement_lines_waiting
        ON l.tenant = s.tenant AND l.batch_id = s.batch_id AND l.state = 'open'
    WHERE s.tenant = ?1 AND s.bank_account_ref = ?2 AND l.booking_date <= ?3";

type Prepared = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The checks of a question, by account.
pub(in crate::store::sqlite) async fn of_question(
    db: &mut SqliteConnection,
    of: ReconciliationQuestion,
) -> Result<Vec<BankCheck>, StoreError> {
    let query = sqlx::query(LAST_STATEMENTS).bind(of.tenant.0).bind(of.currency.code().to_owned());
    let mut checks = Vec::new();
    for row in query.bind(of.as_of.to_string()).fetch_all(&mut *db).await.map_err(store_error)? {
        let (account, day): (String, NaiveDate) = (get(&row, "bank_account_ref")?, date(&row, "statement_date")?);
        let loan_key: [u8; 16] = bytes(&row, "loan_key")?;
        let own = sqlx::query(OWN_CASH).bind(loan_key.to_vec()).bind(day.to_string()).bind(AccountCode::CASH.number());
        let (own, _) = added_up(db, own).await?;
        let other = of_account(OTHER_CASH, of.tenant, &account, day).bind(AccountCode::CASH.number());
        let (other, _) = added_up(db, other).await?;
        let (open, open_lines) = added_up(db, of_account(WAITING, of.tenant, &account, day)).await?;
        checks.push(BankCheck {
            bank_account_ref: account,
            statement_date: day,
            closing: Sum(i128::from(get::<i64>(&row, "closing_balance")?)),
            cash: Sum(own.saturating_add(other)),
            open_lines,
            open: Sum(open),
        });
    }
    Ok(checks)
}

fn of_account(statement: &'static str, tenant: TenantId, account: &str, day: NaiveDate) -> Prepared {
    sqlx::query(statement).bind(tenant.0).bind(account.to_owned()).bind(day.to_string())
}

/// The sum of the amounts of a statement's rows, and how many they are.
async fn added_up(db: &mut SqliteConnection, query: Prepared) -> Result<(i128, i64), StoreError> {
    let (mut sum, mut count) = (0_i128, 0_i64);
    let mut rows = query.fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        sum = sum.saturating_add(i128::from(get::<i64>(&row, "amount")?));
        count = count.saturating_add(1);
    }
    Ok((sum, count))
}
