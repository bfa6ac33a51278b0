//! Owns the usual worker, to compare with: one transaction for each payment, the loan locked by SELECT … FOR UPDATE,
//! the split made by the program, a row for the payment, a row for each line of its entry, the loan updated.
//!
//! Nothing is left out to make it slow: the statements are prepared once, all lines go in one statement, each worker
//! keeps its connection, and there is no API and no queue before it. What makes it slow is six round trips and one
//! commit for each payment.

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::core::ledger::AccountCode;
use crate::core::loan::{Allocation, Balances, Waterfall, allocate};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::connect::{PostgresStore, begin, finish};
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::rows::Columns;

/// Tables as most would make them.
const TABLES: &str = "CREATE TABLE loans (loan_id uuid PRIMARY KEY, borrower_id uuid NOT NULL, \
     currency text NOT NULL, fees bigint NOT NULL, interest bigint NOT NULL, principal bigint NOT NULL, \
     suspense bigint NOT NULL, version bigint NOT NULL, updated_at timestamptz NOT NULL); \
     CREATE TABLE payments (id uuid PRIMARY KEY, idempotency_key text NOT NULL UNIQUE, loan_id uuid NOT NULL, \
     borrower_id uuid NOT NULL, amount bigint NOT NULL CHECK (amount > 0), currency text NOT NULL, \
     effective_date date NOT NULL, source_method text NOT NULL, status text NOT NULL, fees bigint NOT NULL, \
     interest bigint NOT NULL, principal bigint NOT NULL, suspense bigint NOT NULL, posted_at timestamptz NOT NULL); \
     CREATE INDEX payments_of_loan ON payments (loan_id, posted_at); \
     CREATE TABLE entries (payment_id uuid NOT NULL, line smallint NOT NULL, loan_id uuid NOT NULL, \
     account smallint NOT NULL, amount bigint NOT NULL, PRIMARY KEY (payment_id, line))";

const INSERT_LOANS: &str = "INSERT INTO loans (loan_id, borrower_id, currency, fees, interest, principal, suspense, \
     version, updated_at) SELECT loan_id, borrower_id, 'USD', 0, 0, $3, 0, 0, now() \
     FROM unnest($1::uuid[], $2::uuid[]) AS n (loan_id, borrower_id)";

const LOCK_LOAN: &str = "SELECT fees, interest, principal, suspense FROM loans WHERE loan_id = $1 FOR UPDATE";

const INSERT_PAYMENT: &str = "INSERT INTO payments (id, idempotency_key, loan_id, borrower_id, amount, currency, \
     effective_date, source_method, status, fees, interest, principal, suspense, posted_at) \
     VALUES ($1, $2, $3, $4, $5, 'USD', $6, 'ach', 'posted', $7, $8, $9, $10, clock_timestamp())";

const INSERT_ENTRIES: &str = "INSERT INTO entries (payment_id, line, loan_id, account, amount) \
     SELECT $1, line, $2, account, amount \
     FROM unnest($3::smallint[], $4::bigint[]) WITH ORDINALITY AS n (account, amount, line)";

const UPDATE_LOAN: &str = "UPDATE loans SET fees = fees - $2, interest = interest - $3, principal = principal - $4, \
     suspense = suspense + $5, version = version + 1, updated_at = clock_timestamp() WHERE loan_id = $1";

const READ_BOOKS: &str = "SELECT (SELECT count(*) FROM payments), \
     (SELECT coalesce(sum(amount), 0)::bigint FROM payments), \
     (SELECT coalesce(sum(amount), 0)::bigint FROM entries), \
     (SELECT coalesce(sum($1 - principal + suspense - fees - interest), 0)::bigint FROM loans), \
     (SELECT coalesce(sum(version), 0)::bigint FROM loans)";

/// The statements of this module, once its tables are made.
pub const NAIVE_STATEMENTS: [(&str, &str); 6] = [
    ("insert_loans", INSERT_LOANS),
    ("lock_loan", LOCK_LOAN),
    ("insert_payment", INSERT_PAYMENT),
    ("insert_entries", INSERT_ENTRIES),
    ("update_loan", UPDATE_LOAN),
    ("read_books", READ_BOOKS),
];

/// A loan of the usual worker.
#[derive(Clone, Copy, Debug)]
pub struct NaiveLoan {
    /// The loan.
    pub loan_id: Uuid,
    /// Who owes.
    pub borrower_id: Uuid,
}

/// A payment for it to post.
#[derive(Clone, Debug)]
pub struct NaivePayment {
    /// Its id.
    pub id: Uuid,
    /// Its idempotency key.
    pub key: String,
    /// What it pays.
    pub loan: NaiveLoan,
    /// How much.
    pub amount: Minor,
    /// The day it counts from.
    pub effective_date: NaiveDate,
}

/// What stands in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NaiveBooks {
    /// How many payments.
    pub payments: i64,
    /// What they add up to.
    pub amount: i64,
    /// What all lines add up to: zero.
    pub lines: i64,
    /// By how much the loans have moved: as much as the payments.
    pub moved: i64,
    /// How often: once for each payment.
    pub versions: i64,
}

impl NaiveBooks {
    /// Whether the sums agree.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.lines == 0 && self.moved == self.amount && self.versions == self.payments
    }
}

impl PostgresStore {
    /// Makes the usual worker's tables in an empty database, with loans that owe `principal` each.
    ///
    /// # Errors
    /// [`StoreError`] when the tables are there, or the server does not answer.
    pub async fn make_naive_tables(&self, loans: Vec<NaiveLoan>, principal: Minor) -> Result<(), StoreError> {
        self.owned_long(move |store| async move {
            let mut connection = store.patient_connection().await?;
            sqlx::raw_sql(TABLES).execute(&mut connection).await.map_err(classify)?;
            let (ids, borrowers): (Vec<Uuid>, Vec<Uuid>) =
                loans.iter().map(|loan| (loan.loan_id, loan.borrower_id)).unzip();
            let query = sqlx::query(INSERT_LOANS).bind(ids).bind(borrowers).bind(principal.units());
            query.execute(&mut connection).await.map_err(classify)?;
            // The work is done; how the connection ends changes nothing.
            let _closed = connection.close().await;
            Ok(())
        })
        .await
    }

    /// What the usual workers have written, where each loan owed `principal` at first.
    ///
    /// # Errors
    /// [`StoreError`] when the tables are not there, or the server does not answer.
    pub async fn naive_books(&self, principal: Minor) -> Result<NaiveBooks, StoreError> {
        self.owned_long(move |store| async move {
            let mut connection = store.patient_connection().await?;
            let query = sqlx::query(READ_BOOKS).bind(principal.units());
            let row = query.fetch_one(&mut connection).await.map_err(classify)?;
            // The work is done; how the connection ends changes nothing.
            let _closed = connection.close().await;
            let mut columns = Columns::of(&row);
            Ok(NaiveBooks {
                payments: columns.take()?,
                amount: columns.take()?,
                lines: columns.take()?,
                moved: columns.take()?,
                versions: columns.take()?,
            })
        })
        .await
    }

    /// A usual worker with a connection of its own, at the server's settings.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    pub async fn naive_worker(&self) -> Result<NaiveWorker, StoreError> {
        Ok(NaiveWorker { connection: self.patient_connection().await? })
    }
}

/// One usual worker.
#[derive(Debug)]
pub struct NaiveWorker {
    connection: PgConnection,
}

impl NaiveWorker {
    /// Posts one payment in a transaction of its own. The connection is this worker's alone, so a caller that stops
    /// waiting spoils nothing but the worker.
    ///
    /// # Errors
    /// [`StoreError`] as classified; nothing was written then.
    pub async fn post(&mut self, payment: &NaivePayment) -> Result<(), StoreError> {
        let mut transaction = begin(&mut self.connection).await?;
        let done = post(&mut transaction, payment).await;
        finish(transaction, done).await
    }

    /// Closes the connection.
    pub async fn close(self) {
        // Everything is committed; how the connection ends changes nothing.
        let _closed = self.connection.close().await;
    }
}

async fn post(connection: &mut PgConnection, payment: &NaivePayment) -> Result<(), StoreError> {
    let loan_id = payment.loan.loan_id;
    let row = sqlx::query(LOCK_LOAN).bind(loan_id).fetch_one(&mut *connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let owed = Balances {
        fees: Minor::new(columns.take()?),
        interest: Minor::new(columns.take()?),
        principal: Minor::new(columns.take()?),
        suspense: Minor::new(columns.take()?),
    };
    let split = allocate(payment.amount, &owed, Waterfall::default())
        .map_err(|overflow| StoreError::Broken(overflow.to_string()))?;
    let query = sqlx::query(INSERT_PAYMENT)
        .bind(payment.id)
        .bind(&payment.key)
        .bind(loan_id)
        .bind(payment.loan.borrower_id)
        .bind(payment.amount.units())
        .bind(payment.effective_date)
        .bind(split.fees.units())
        .bind(split.interest.units())
        .bind(split.principal.units())
        .bind(split.suspense.units());
    query.execute(&mut *connection).await.map_err(classify)?;
    let (accounts, amounts) = lines(payment.amount, &split)?;
    let query = sqlx::query(INSERT_ENTRIES).bind(payment.id).bind(loan_id).bind(accounts).bind(amounts);
    query.execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(UPDATE_LOAN)
        .bind(loan_id)
        .bind(split.fees.units())
        .bind(split.interest.units())
        .bind(split.principal.units())
        .bind(split.suspense.units());
    let updated = query.execute(connection).await.map_err(classify)?.rows_affected();
    if updated == 1 { Ok(()) } else { Err(overtaken("the loan was gone")) }
}

/// Account and signed amount of each line: debits positive, credits negative.
fn lines(amount: Minor, split: &Allocation) -> Result<(Vec<i16>, Vec<i64>), StoreError> {
    let mut accounts = vec![AccountCode::PAYMENT_CLEARING.number()];
    let mut amounts = vec![amount.units()];
    for (account, part) in [
        (AccountCode::FEES_RECEIVABLE, split.fees),
        (AccountCode::INTEREST_RECEIVABLE, split.interest),
        (AccountCode::PRINCIPAL_RECEIVABLE, split.principal),
        (AccountCode::BORROWER_SUSPENSE, split.suspense),
    ] {
        if part > Minor::ZERO {
            accounts.push(account.number());
            amounts.push(part.mirrored().map_err(|overflow| StoreError::Broken(overflow.to_string()))?.units());
        }
    }
    Ok((accounts, amounts))
}
