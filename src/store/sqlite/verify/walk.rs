//! Owns the walk along every posting, loan by loan: lines balance, numbers have no gap, hashes link, and the loan's
//! row says what its postings add up to.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::event::Fingerprint;
use crate::core::ids::EventId;
use crate::core::ledger::{AccountCode, Posting, chain_hash};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{bytes, decode_posting, get, id, optional_bytes, posting_columns};
use crate::store::sqlite::verify::findings::Findings;
use crate::store::sqlite::verify::sums::{AccountKey, Sides, add};

/// Every posting with its event and its loan, along the index `postings_loan_version`.
pub(in crate::store::sqlite) const POSTINGS_BY_LOAN: &str = concat!(
    "SELECT p.event_seq, ",
    posting_columns!(),
    ", e.id AS event_id, e.tenant, e.loan_key AS event_loan_key, e.currency, e.fingerprint,
    l.version, l.fees, l.interest, l.principal, l.suspense, l.memo_fees, l.memo_interest, l.memo_principal, l.chain_head
    FROM postings AS p
    LEFT JOIN events AS e ON e.seq = p.event_seq
    LEFT JOIN loans AS l ON l.loan_key = p.loan_key
    ORDER BY p.loan_key, p.loan_version"
);

/// The loan in whose postings the walk is.
#[derive(Debug, Default)]
struct Loan {
    key: Option<[u8; 16]>,
    version: i64,
    head: [u8; 32],
    /// Fees, interest, principal, suspense, and what is charged off and still owed.
    balances: [i128; 5],
    /// What its row says; `None` where there is no row.
    row: Option<LoanRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LoanRow {
    version: i64,
    balances: [i128; 5],
    head: [u8; 32],
}

/// Walks along all postings; answers the sums of their lines.
pub(super) async fn walk_postings(
    db: &mut SqliteConnection,
    findings: &mut Findings,
) -> Result<BTreeMap<AccountKey, Sides>, StoreError> {
    let mut sums = BTreeMap::new();
    let mut loan = Loan::default();
    let mut rows = sqlx::query(POSTINGS_BY_LOAN).fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        let key: Option<[u8; 16]> = optional_bytes(&row, "posting_loan_key")?;
        if key != loan.key {
            close_loan(&loan, findings);
            loan = Loan { key, row: loan_row(&row)?, ..Loan::default() };
        }
        visit(&row, &mut loan, &mut sums, findings)?;
    }
    close_loan(&loan, findings);
    Ok(sums)
}

fn loan_row(row: &SqliteRow) -> Result<Option<LoanRow>, StoreError> {
    let Some(version) = get::<Option<i64>>(row, "version")? else {
        return Ok(None);
    };
    let amount = |column: &str| get::<i64>(row, column).map(i128::from);
    let memo = [amount("memo_fees")?, amount("memo_interest")?, amount("memo_principal")?];
    let memo = memo.into_iter().fold(0_i128, i128::saturating_add);
    let balances = [amount("fees")?, amount("interest")?, amount("principal")?, amount("suspense")?, memo];
    Ok(Some(LoanRow { version, balances, head: bytes(row, "chain_head")? }))
}

fn visit(
    row: &SqliteRow,
    loan: &mut Loan,
    sums: &mut BTreeMap<AccountKey, Sides>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let seq: i64 = get(row, "event_seq")?;
    if get::<Option<&[u8]>>(row, "event_id")?.is_none() {
        findings.add("posting_without_event", || format!("posting {seq} has no event"));
        return Ok(());
    }
    if optional_bytes::<16>(row, "event_loan_key")? != loan.key {
        findings.add("posting_without_event", || format!("posting {seq} names another loan than its event"));
    }
    visit_lines(row, seq, loan, sums, findings)?;
    let Some(version) = get::<Option<i64>>(row, "loan_version")? else {
        return Ok(());
    };
    let expected = loan.version.saturating_add(1);
    if version != expected {
        findings.add("loan_version", || format!("posting {seq} has version {version}, {expected} expected"));
    }
    loan.version = version;
    visit_chain(row, seq, loan, findings)
}

fn visit_lines(
    row: &SqliteRow,
    seq: i64,
    loan: &mut Loan,
    sums: &mut BTreeMap<AccountKey, Sides>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let lines: Option<(Vec<i64>, Vec<i64>)> = serde_json::from_str(get(row, "accounts")?)
        .ok()
        .zip(serde_json::from_str(get(row, "amounts")?).ok())
        .filter(|(accounts, amounts): &(Vec<i64>, Vec<i64>)| accounts.len() == amounts.len());
    let Some((accounts, amounts)) = lines else {
        findings.add("entry_balance", || format!("posting {seq} has lines that are none"));
        return Ok(());
    };
    if accounts.is_empty() {
        return Ok(());
    }
    let balance = amounts.iter().fold(0_i128, |sum, amount| sum.saturating_add(i128::from(*amount)));
    if balance != 0 || amounts.contains(&0) {
        findings.add("entry_balance", || format!("posting {seq}: its lines add up to {balance}"));
    }
    let (tenant, currency): ([u8; 16], String) = (bytes(row, "tenant")?, get(row, "currency")?);
    let (layer, booked): (String, String) = (get(row, "layer")?, get(row, "booking_date")?);
    for (account, amount) in accounts.into_iter().zip(amounts) {
        add(sums.entry((tenant, account, currency.clone(), layer.clone(), booked.clone())).or_default(), amount);
        move_balance(&mut loan.balances, account, i128::from(amount));
    }
    Ok(())
}

fn move_balance([fees, interest, principal, suspense, memo]: &mut [i128; 5], account: i64, signed: i128) {
    let is = |code: AccountCode| i64::from(code.number()) == account;
    let (bucket, signed) = if is(AccountCode::FEES_RECEIVABLE) {
        (fees, signed)
    } else if is(AccountCode::INTEREST_RECEIVABLE) {
        (interest, signed)
    } else if is(AccountCode::PRINCIPAL_RECEIVABLE) {
        (principal, signed)
    } else if is(AccountCode::BORROWER_SUSPENSE) {
        (suspense, signed.saturating_neg())
    } else if is(AccountCode::CHARGED_OFF_MEMO) {
        (memo, signed)
    } else {
        return;
    };
    *bucket = bucket.saturating_add(signed);
}

fn visit_chain(row: &SqliteRow, seq: i64, loan: &mut Loan, findings: &mut Findings) -> Result<(), StoreError> {
    let stored: [u8; 32] = optional_bytes(row, "chain_hash")?.unwrap_or_default();
    let fingerprint: Option<[u8; 32]> = optional_bytes(row, "fingerprint")?;
    // A row that cannot be read is broken in the chain, too; the walk goes on behind it.
    let posting: Option<Posting> = decode_posting(row, EventId(id(row, "event_id")?)).ok().flatten();
    let made = posting
        .zip(fingerprint)
        .map(|(posting, fingerprint)| chain_hash(&loan.head, Fingerprint::from_bytes(fingerprint), &posting));
    if made != Some(stored) {
        findings.add("chain", || format!("posting {seq} does not hash to what it says"));
    }
    loan.head = stored;
    Ok(())
}

fn close_loan(loan: &Loan, findings: &mut Findings) {
    let Some(key) = loan.key else { return };
    let name = || uuid::Uuid::from_bytes(key).simple();
    let Some(row) = &loan.row else {
        if loan.version > 0 {
            findings.add("loan_version", || format!("loan {} has postings and no row", name()));
        }
        return;
    };
    if loan.version != row.version {
        findings
            .add("loan_version", || format!("loan {}: {} in the row, {} posted", name(), row.version, loan.version));
    }
    if loan.balances != row.balances {
        findings.add("loan_balance", || {
            format!("loan {}: {:?} in the row, {:?} in the lines", name(), row.balances, loan.balances)
        });
    }
    if loan.head != row.head {
        findings.add("chain", || format!("loan {}: its head is not the hash of its last posting", name()));
    }
}
