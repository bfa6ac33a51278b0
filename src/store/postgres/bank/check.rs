//! Owns the statement that compares bank accounts with their cash.

use sqlx::PgConnection;

use crate::core::ledger::AccountCode;
use crate::store::postgres::error::classify;
use crate::store::postgres::reconcile::{asked, questions, reading};
use crate::store::postgres::rows::Columns;
use crate::store::{BankCheck, ReconciliationQuestion, StoreError, Sum};

/// The last statement of each account by the day, beside the cash of the account by that statement's day: what stands on
/// its own loan, and what other events have booked that its lines are matched with, less what took them back and has no
/// line of its own yet. By effective date: that is the bank's day, whenever it was booked here. Walks the account's own
/// postings.
const CHECK_BANKS: &str = concat!(
    "SELECT q.no, s.bank_account_ref, s.statement_date, s.closing_balance::text, own.sum::text, other.sum::text, \
     open.count, open.sum::text FROM ",
    asked!(),
    " JOIN bank_accounts a ON a.tenant = q.tenant AND a.currency = q.currency \
     CROSS JOIN LATERAL (SELECT s.bank_account_ref, s.statement_date, s.closing_balance FROM bank_statements s \
     WHERE s.tenant = a.tenant AND s.bank_account_ref = a.bank_account_ref AND s.statement_date <= q.as_of \
     ORDER BY s.statement_date DESC LIMIT 1) AS s \
     CROSS JOIN LATERAL (SELECT coalesce(sum(line.amount), 0) AS sum FROM postings p \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.loan_key = a.loan_key AND p.loan_version > 0 AND line.account = $4 \
     AND p.effective_date <= s.statement_date) AS own \
     CROSS JOIN LATERAL (SELECT coalesce(sum(line.amount), 0) AS sum FROM bank_statements b \
     JOIN bank_statement_lines l ON l.batch_id = b.batch_id AND l.state = 'matched' \
     JOIN events e ON e.id = l.matched_event CROSS JOIN LATERAL (SELECT p.accounts, p.amounts FROM postings p \
     WHERE p.event_seq = e.seq UNION ALL SELECT u.accounts, u.amounts FROM postings u JOIN events r ON r.seq = u.event_seq \
     WHERE u.undoes_seq = e.seq AND NOT EXISTS (SELECT FROM bank_statement_lines o WHERE o.matched_event = r.id)) AS p \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE b.tenant = a.tenant AND b.bank_account_ref = a.bank_account_ref AND line.account = $4 \
     AND l.booking_date <= s.statement_date) AS other \
     CROSS JOIN LATERAL (SELECT count(*), coalesce(sum(l.amount), 0) AS sum FROM bank_statements b \
     JOIN bank_statement_lines l ON l.tenant = b.tenant AND l.batch_id = b.batch_id AND l.state = 'open' \
     WHERE b.tenant = a.tenant AND b.bank_account_ref = a.bank_account_ref AND l.booking_date <= s.statement_date) \
     AS open ORDER BY q.no, s.bank_account_ref"
);

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 1] = [("check_banks", CHECK_BANKS)];

/// The checks of each question, by account.
pub(in crate::store::postgres) async fn checks(
    connection: &mut PgConnection,
    of: &[ReconciliationQuestion],
) -> Result<Vec<Vec<BankCheck>>, StoreError> {
    let mut checks = vec![Vec::new(); of.len()];
    let query = questions(CHECK_BANKS, of).bind(AccountCode::CASH.number());
    for row in query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(&row);
        let place: i64 = columns.take()?;
        let (bank_account_ref, statement_date) = (columns.take()?, columns.take()?);
        let closing = Sum(columns.word("a sum")?);
        let (own, other): (i128, i128) = (columns.word("a sum")?, columns.word("a sum")?);
        let cash = Sum(own.saturating_add(other));
        let (open_lines, open) = (columns.take()?, Sum(columns.word("a sum")?));
        let check = BankCheck { bank_account_ref, statement_date, closing, cash, open_lines, open };
        reading(&mut checks, place)?.push(check);
    }
    Ok(checks)
}
