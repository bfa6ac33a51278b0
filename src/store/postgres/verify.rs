//! Owns the proof of the books. Reads in one snapshot, writes nothing, takes as long as it takes.

use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::connect::{BEGIN_SNAPSHOT, PostgresStore, finish};
use super::error::classify;
use super::rows::{self, Columns, posting_columns};
use crate::core::event::Fingerprint;
use crate::core::ids::{EventId, LoanKey};
use crate::core::ledger::{AccountCode, chain_hash};
use crate::store::{StoreError, VerifyProblem, VerifyReport};

/// Whole tables are read: the planner may choose freely, and nothing is cut short.
pub(super) const WITHOUT_HURRY: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = on; \
     SET LOCAL enable_bitmapscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

/// How many problems of each check are told.
const PROBLEMS_MAX: usize = 100;

/// Finished first, then parked, then held; what is left is in flight. Uploads are not in the books.
const COUNT_EVENTS: &str = "SELECT count(*), count(*) FILTER (WHERE p.outcome IN ('posted', 'done')), \
     count(*) FILTER (WHERE p.outcome = 'rejected'), \
     count(*) FILTER (WHERE p.outcome IS NULL AND k.event_seq IS NOT NULL), \
     count(*) FILTER (WHERE p.outcome IS NULL AND k.event_seq IS NULL AND h.loan_key IS NOT NULL), \
     count(*) FILTER (WHERE p.outcome IS NULL AND k.event_seq IS NULL AND h.loan_key IS NULL), \
     (SELECT count(*) FROM loans WHERE version > 0) \
     FROM events e LEFT JOIN postings p ON p.event_seq = e.seq \
     LEFT JOIN parked k ON k.event_seq = e.seq AND k.parked_at IS NOT NULL \
     LEFT JOIN holds h ON h.loan_key = e.loan_key WHERE e.kind <> 'upload'";

/// Entries whose lines do not sum to zero or do not pair up.
const UNBALANCED_ENTRIES: &str = "SELECT 'event ' || p.event_seq || ' has lines that sum to ' || s.total \
     FROM postings p CROSS JOIN LATERAL (SELECT coalesce(sum(line.amount::numeric), 0) AS total \
     FROM unnest(p.amounts) AS line (amount)) AS s \
     WHERE s.total <> 0 OR cardinality(p.accounts) <> cardinality(p.amounts) ORDER BY p.event_seq LIMIT $1";

/// Loans whose balances are not the sum of their lines, or whose version is not the number of their postings.
/// Debits of receivables and credits of suspense are positive; what is charged off and still owed stands on one account.
const WRONG_BALANCES: &str = "SELECT 'loan ' || l.loan_key || ' holds ' || concat_ws('/', l.fees, l.interest, \
     l.principal, l.suspense, l.memo_fees::numeric + l.memo_interest + l.memo_principal) || ' where its lines say ' \
     || concat_ws('/', s.fees, s.interest, s.principal, s.suspense, s.memo) \
     FROM loans l LEFT JOIN (SELECT p.loan_key, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $2), 0) AS fees, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $3), 0) AS interest, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $4), 0) AS principal, \
     -coalesce(sum(line.amount) FILTER (WHERE line.account = $5), 0) AS suspense, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $6), 0) AS memo \
     FROM postings p CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.layer = 'SETTLED' GROUP BY p.loan_key) AS s ON s.loan_key = l.loan_key \
     WHERE (l.fees, l.interest, l.principal, l.suspense, l.memo_fees::numeric + l.memo_interest + l.memo_principal) \
     IS DISTINCT FROM (coalesce(s.fees, 0), coalesce(s.interest, 0), coalesce(s.principal, 0), \
     coalesce(s.suspense, 0), coalesce(s.memo, 0)) \
     ORDER BY l.loan_key LIMIT $1";

/// Loans whose version is not the number of their postings: catches a last posting that is gone.
const WRONG_VERSIONS: &str = "SELECT 'loan ' || coalesce(l.loan_key, s.loan_key) || ' is at version ' || \
     coalesce(l.version, 0) || ' with ' || coalesce(s.postings, 0) || ' postings' FROM loans l \
     FULL JOIN (SELECT loan_key, count(*) AS postings FROM postings WHERE loan_version IS NOT NULL GROUP BY loan_key) \
     AS s ON s.loan_key = l.loan_key WHERE coalesce(l.version, 0) <> coalesce(s.postings, 0) LIMIT $1";

/// Events born finished without a posting, but for the parents of groups that wait, and events below the sweeper's mark that nobody finished.
const LOST_EVENTS: &str = "SELECT 'event ' || e.seq || ' has no posting' FROM events e \
     WHERE e.kind <> 'upload' AND (e.slot IS NULL OR e.seq <= (SELECT mark FROM sweeper)) \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) \
     AND NOT EXISTS (SELECT FROM events l WHERE l.group_seq = e.seq AND l.leg = 1 \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = l.seq)) \
     AND NOT EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) \
     AND NOT EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key) ORDER BY e.seq LIMIT $1";

const ORPHANED_POSTINGS: &str = "SELECT 'posting ' || p.event_seq || ' has no event of its loan' FROM postings p \
     WHERE NOT EXISTS (SELECT FROM events e WHERE e.seq = p.event_seq AND e.loan_key = p.loan_key) \
     ORDER BY p.event_seq LIMIT $1";

const WRONG_TOTALS: &str = "SELECT concat_ws(' ', 'account', account, currency, layer, booking_date, 'of', tenant, \
     'totals', t.debits, t.credits, 'where its lines say', s.debits, s.credits) \
     FROM (SELECT tenant, account, currency, layer, booking_date, sum(debits) AS debits, sum(credits) AS credits \
     FROM account_totals GROUP BY 1, 2, 3, 4, 5) AS t \
     FULL JOIN (SELECT e.tenant, line.account, e.currency, p.layer, p.booking_date, \
     coalesce(sum(line.amount) FILTER (WHERE line.amount > 0), 0) AS debits, \
     coalesce(-sum(line.amount) FILTER (WHERE line.amount < 0), 0) AS credits \
     FROM postings p JOIN events e ON e.seq = p.event_seq \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) GROUP BY 1, 2, 3, 4, 5) AS s \
     USING (tenant, account, currency, layer, booking_date) \
     WHERE (t.debits, t.credits) IS DISTINCT FROM (s.debits, s.credits) LIMIT $1";

const TRIAL_BALANCE: &str = "SELECT concat_ws(' ', 'tenant', tenant, currency, layer, 'has debits', sum(debits), \
     'and credits', sum(credits)) FROM account_totals GROUP BY tenant, currency, layer \
     HAVING sum(debits) <> sum(credits) LIMIT $1";

/// What the intake counted in its own rows against the events that it took.
const WRONG_ACCEPTED: &str = "SELECT concat_ws(' ', 'tenant', tenant, 'has', coalesce(e.events, 0), 'events where the \
     intake accepted', coalesce(t.accepted, 0)) FROM (SELECT tenant, sum(accepted) AS accepted FROM publisher_totals \
     GROUP BY tenant) AS t FULL JOIN (SELECT tenant, count(*) AS events FROM events WHERE slot IS NOT NULL \
     GROUP BY tenant) AS e USING (tenant) WHERE coalesce(t.accepted, 0) <> coalesce(e.events, 0) LIMIT $1";

/// Undo links: what takes an entry back is a return or a reversal, a later posting of its loan, counts from its day, and
/// is alone in it; of money that came in it gives back all, of any other entry it is the mirror of all that stands; and a
/// posted return or reversal takes back what it names, unless it is charged back on its own day. A disbursement is settled once.
const WRONG_UNDOS: &str = "SELECT 'posting ' || u.event_seq || ' does not undo event ' || u.undoes_seq \
     || ' as a whole, on its day and in its loan' FROM postings u LEFT JOIN postings p ON p.event_seq = u.undoes_seq \
     LEFT JOIN events e ON e.seq = u.undoes_seq LEFT JOIN events ue ON ue.seq = u.event_seq \
     WHERE u.undoes_seq IS NOT NULL AND NOT coalesce( \
     ue.kind IN ('payment_returned', 'reversal') \
     AND (e.kind NOT IN ('payment_returned', 'reversal') OR (e.details::json ->> 'credit_order') IS NOT NULL) \
     AND p.outcome = 'posted' AND p.loan_key = u.loan_key \
     AND p.loan_version < u.loan_version AND p.effective_date = u.effective_date \
     AND NOT EXISTS (SELECT FROM (SELECT * FROM unnest(p.accounts, p.amounts) \
     UNION ALL SELECT * FROM unnest(u.accounts, u.amounts) \
     UNION ALL SELECT l.account, l.amount FROM postings r CROSS JOIN LATERAL unnest(r.accounts, r.amounts) \
     AS l (account, amount) WHERE r.restates_seq IN (u.undoes_seq, p.restates_seq) AND r.loan_key = u.loan_key \
     AND r.loan_version > p.loan_version AND r.loan_version < u.loan_version) AS line (account, amount) \
     WHERE e.kind NOT IN ('payment_received', 'recovery') OR line.account = $2 \
     GROUP BY line.account HAVING sum(line.amount) <> 0), \
     false) UNION ALL SELECT 'event ' || undoes_seq || ' is undone ' || count(*) || ' times' FROM postings \
     WHERE undoes_seq IS NOT NULL GROUP BY undoes_seq HAVING count(*) > 1 \
     UNION ALL SELECT e.kind || ' ' || e.seq || ' does not undo what it names' FROM events e \
     JOIN postings p ON p.event_seq = e.seq WHERE e.kind IN ('payment_returned', 'reversal') AND p.outcome = 'posted' \
     AND p.undoes_seq IS DISTINCT FROM CASE WHEN e.details::json ->> 'credit_order' IS NULL THEN \
     coalesce(e.details::json ->> 'payment_seq', e.details::json ->> 'event_seq', \
     e.details::json #>> '{leg,terms,reversal,leg,event_seq}')::bigint END \
     UNION ALL SELECT 'disbursement ' || (e.details::json ->> 'event_seq') || ' is settled ' || count(*) || ' times' \
     FROM events e JOIN postings p ON p.event_seq = e.seq WHERE e.kind = 'disbursement_settled' \
     AND p.outcome = 'posted' AND NOT EXISTS (SELECT FROM postings u WHERE u.undoes_seq = e.seq) \
     GROUP BY e.details::json ->> 'event_seq' HAVING count(*) > 1 LIMIT $1";

/// Consequences: each follows a posted event of its loan and was never queued; and a posted return has the fee it
/// names, once, and no other; a fee that only the program names may have been refused, or charged with an earlier return.
const WRONG_SYSTEM_EVENTS: &str = "SELECT 'event ' || e.seq || ' follows no posted event of its loan' FROM events e \
     LEFT JOIN events c ON c.seq = e.cause_seq LEFT JOIN postings p ON p.event_seq = e.cause_seq \
     WHERE e.cause_seq IS NOT NULL AND NOT coalesce(c.loan_key = e.loan_key AND c.tenant = e.tenant \
     AND c.seq < e.seq AND e.slot IS NULL AND p.outcome = 'posted', false) \
     UNION ALL SELECT 'return ' || e.seq || ' has not the fee it names' FROM events e \
     JOIN postings p ON p.event_seq = e.seq LEFT JOIN (SELECT cause_seq, count(*) AS fees, sum(amount) AS amount \
     FROM events WHERE cause_seq IS NOT NULL AND kind = 'fee_assessed' GROUP BY cause_seq) AS f \
     ON f.cause_seq = e.seq WHERE e.kind = 'payment_returned' AND p.outcome = 'posted' \
     AND (e.details::json ->> 'fee_minor' IS NOT NULL OR f.fees IS NOT NULL) \
     AND (coalesce(e.details::json ->> 'fee_minor', e.details::json ->> 'program_fee_minor')::numeric \
     IS DISTINCT FROM f.amount OR f.fees > 1) LIMIT $1";

/// Groups: the legs are numbered without a gap and are as many as their parent says, all of its tenant; they are posted
/// where it is done, refused for its reason where it is rejected, and wait where it waits; and what goes from loan to
/// loan leaves nothing on the way.
const WRONG_GROUPS: &str = "SELECT 'group ' || g.seq || ' and its legs do not go together' FROM (SELECT \
     l.group_seq AS seq, count(*) AS legs, min(l.leg) AS first, max(l.leg) AS last, count(p.event_seq) AS finished, \
     count(*) FILTER (WHERE p.outcome = 'posted') AS posted, bool_and(l.tenant = e.tenant) AS is_one_tenant, \
     bool_and(p.rejection_code IS NOT DISTINCT FROM q.rejection_code) AS is_one_reason \
     FROM events l LEFT JOIN postings p ON p.event_seq = l.seq LEFT JOIN events e ON e.seq = l.group_seq \
     LEFT JOIN postings q ON q.event_seq = l.group_seq WHERE l.group_seq IS NOT NULL GROUP BY l.group_seq) AS g \
     LEFT JOIN events e ON e.seq = g.seq LEFT JOIN postings q ON q.event_seq = g.seq WHERE NOT coalesce( \
     e.slot IS NULL AND (e.details::json #>> '{group,legs}')::bigint = g.legs AND g.first = 1 AND g.last = g.legs \
     AND g.is_one_tenant AND g.is_one_reason AND CASE q.outcome WHEN 'done' THEN g.posted = g.legs \
     WHEN 'rejected' THEN g.finished = g.legs AND g.posted = 0 ELSE g.finished = 0 END, false) \
     UNION ALL SELECT 'group ' || l.group_seq || ' leaves ' || sum(line.amount) || ' between its loans' FROM events l \
     JOIN postings p ON p.event_seq = l.seq CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE l.group_seq IS NOT NULL AND line.account = $2 GROUP BY l.group_seq HAVING sum(line.amount) <> 0 \
     UNION ALL SELECT 'group ' || e.seq || ' has no legs' FROM events e WHERE e.slot IS NULL \
     AND e.details LIKE '{\"group\":%' AND NOT EXISTS (SELECT FROM events l WHERE l.group_seq = e.seq) LIMIT $1";

/// Every versioned posting in the order of its chain, with what its hash covers.
const READ_CHAINS: &str = concat!(
    "SELECT p.loan_key, p.loan_version, p.chain_hash, e.id, e.fingerprint, l.version, l.chain_head, ",
    posting_columns!(),
    " FROM postings p JOIN events e ON e.seq = p.event_seq LEFT JOIN loans l ON l.loan_key = p.loan_key \
     WHERE p.loan_version IS NOT NULL ORDER BY p.loan_key, p.loan_version"
);

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 13] = [
    ("count_events", COUNT_EVENTS),
    ("unbalanced_entries", UNBALANCED_ENTRIES),
    ("wrong_balances", WRONG_BALANCES),
    ("wrong_versions", WRONG_VERSIONS),
    ("lost_events", LOST_EVENTS),
    ("orphaned_postings", ORPHANED_POSTINGS),
    ("wrong_totals", WRONG_TOTALS),
    ("trial_balance", TRIAL_BALANCE),
    ("wrong_accepted", WRONG_ACCEPTED),
    ("wrong_undos", WRONG_UNDOS),
    ("wrong_system_events", WRONG_SYSTEM_EVENTS),
    ("wrong_groups", WRONG_GROUPS),
    ("read_chains", READ_CHAINS),
];

/// The checks that are one statement of the form "what is wrong, at most $1".
const CHECKS: [(&str, &str); 8] = [
    ("entry_balance", UNBALANCED_ENTRIES),
    ("loan_version", WRONG_VERSIONS),
    ("event_without_posting", LOST_EVENTS),
    ("posting_without_event", ORPHANED_POSTINGS),
    ("account_totals", WRONG_TOTALS),
    ("trial_balance", TRIAL_BALANCE),
    ("conservation", WRONG_ACCEPTED),
    ("system_event", WRONG_SYSTEM_EVENTS),
];

impl PostgresStore {
    pub(super) async fn prove(&self) -> Result<VerifyReport, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let done = prove(&mut transaction).await;
        finish(transaction, done).await
    }
}

async fn prove(connection: &mut PgConnection) -> Result<VerifyReport, StoreError> {
    sqlx::raw_sql(WITHOUT_HURRY).execute(&mut *connection).await.map_err(classify)?;
    let mut report = count(connection).await?;
    let most = i64::try_from(PROBLEMS_MAX).unwrap_or(i64::MAX);
    for (check, statement) in CHECKS {
        let rows = sqlx::query(statement).bind(most).fetch_all(&mut *connection).await.map_err(classify)?;
        tell(&mut report, check, &rows)?;
    }
    let query = sqlx::query(WRONG_BALANCES)
        .bind(most)
        .bind(AccountCode::FEES_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_RECEIVABLE.number())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::BORROWER_SUSPENSE.number())
        .bind(AccountCode::CHARGED_OFF_MEMO.number());
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    tell(&mut report, "loan_balance", &rows)?;
    let query = sqlx::query(WRONG_UNDOS).bind(most).bind(AccountCode::PAYMENT_CLEARING.number());
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    tell(&mut report, "undo_link", &rows)?;
    let query = sqlx::query(WRONG_GROUPS).bind(most).bind(AccountCode::LOAN_TRANSFER_CLEARING.number());
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    tell(&mut report, "group", &rows)?;
    let chains = walk_chains(connection).await?;
    report.problems.extend(chains);
    Ok(report)
}

async fn count(connection: &mut PgConnection) -> Result<VerifyReport, StoreError> {
    let row = sqlx::query(COUNT_EVENTS).fetch_one(connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    Ok(VerifyReport {
        events: columns.take()?,
        posted: columns.take()?,
        rejected: columns.take()?,
        parked: columns.take()?,
        held: columns.take()?,
        in_flight: columns.take()?,
        loans: columns.take()?,
        problems: Vec::new(),
    })
}

fn tell(report: &mut VerifyReport, check: &'static str, rows: &[PgRow]) -> Result<(), StoreError> {
    for row in rows {
        report.problems.push(VerifyProblem { check, detail: Columns::of(row).take()? });
    }
    Ok(())
}

/// Where the walk over the chains stands.
#[derive(Default)]
struct Walk {
    loan: Option<LoanKey>,
    version: i64,
    head: [u8; 32],
    expected: Option<(i64, [u8; 32])>,
    versions: Vec<VerifyProblem>,
    chains: Vec<VerifyProblem>,
}

impl Walk {
    /// Closes a loan: the head of its row must be the hash of its last posting.
    fn close(&mut self) {
        let Some(loan) = self.loan else { return };
        if self.expected != Some((self.version, self.head)) {
            note(&mut self.chains, "chain", format!("loan {loan:?}: the head is not the hash of the last posting"));
        }
    }

    /// Takes the next posting. A break is told once: the walk goes on from the stored hash.
    fn step(&mut self, row: &PgRow) -> Result<(), StoreError> {
        let mut columns = Columns::of(row);
        let (loan, version): (LoanKey, i64) = (columns.loan_key()?, columns.take()?);
        let stored: [u8; 32] = columns.take()?;
        let (id, fingerprint) = (EventId(columns.take()?), Fingerprint::from_bytes(columns.take()?));
        let expected = columns.take::<Option<i64>>()?.zip(columns.take::<Option<[u8; 32]>>()?);
        if self.loan != Some(loan) {
            self.close();
            (self.loan, self.version, self.head) = (Some(loan), 0, [0; 32]);
        }
        if self.version.checked_add(1) != Some(version) {
            let detail = format!("loan {loan:?}: version {version} follows {}", self.version);
            note(&mut self.versions, "loan_version", detail);
        }
        // Lines that cannot be read are a break of the chain as well.
        let posting = rows::posting(&mut columns, id).ok().flatten();
        let hash = posting.map(|posting| chain_hash(&self.head, fingerprint, &posting));
        if hash != Some(stored) {
            note(
                &mut self.chains,
                "chain",
                format!("loan {loan:?}, version {version}: the hash does not cover the row"),
            );
        }
        (self.version, self.head, self.expected) = (version, stored, expected);
        Ok(())
    }
}

fn note(problems: &mut Vec<VerifyProblem>, check: &'static str, detail: String) {
    if problems.len() < PROBLEMS_MAX {
        problems.push(VerifyProblem { check, detail });
    }
}

async fn walk_chains(connection: &mut PgConnection) -> Result<Vec<VerifyProblem>, StoreError> {
    let mut walk = Walk::default();
    let mut rows = sqlx::query(READ_CHAINS).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(classify)? {
        walk.step(&row)?;
    }
    drop(rows);
    walk.close();
    let mut problems = walk.versions;
    problems.append(&mut walk.chains);
    Ok(problems)
}
