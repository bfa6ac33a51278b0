//! What only PostgreSQL has: concurrent transactions, arrays, and the statements it can prepare without running.

use std::time::Duration;

use hpts::core::event::{EventKind, SourceMethod};
use hpts::core::ids::{EventId, Seq};
use hpts::core::ledger::RejectionCode;
use hpts::store::postgres::statements;
use hpts::store::{FileRow, NewReview, PostWork, SchemaState, Store, StoreError, UploadRef, Wanted};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqlSafeStr};

use super::operations::sweep;
use super::prove;
use super::reviews::{refused, review};
use super::uploads::{begin, exception};
use crate::support::books::{Books, work};
use crate::support::fold;
use crate::support::postgres::PostgresDatabase;
use crate::support::proxy::{Mode, Proxy};

#[tokio::test]
async fn every_statement_prepares() {
    let database = PostgresDatabase::open().await;
    let mut connection = database.connection().await;
    for (name, sql) in statements() {
        let prepared = connection.prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}\n{sql}");
    }
}

/// A statement with its arguments written out.
pub(super) fn statement(name: &str, values: &[&str]) -> String {
    let (_, sql) = statements().into_iter().find(|(other, _)| *other == name).unwrap();
    // The last first: $1 begins $10.
    let numbered: Vec<_> = (1..).zip(values).collect();
    numbered.iter().rev().fold(sql.to_owned(), |sql, (n, value)| sql.replace(&format!("${n}"), value))
}

/// Whoever waits for an upload of a million rows asks again and again.
#[tokio::test]
async fn how_far_an_upload_is_costs_no_walk_of_it() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let hold = begin(&books, "upload:1", 1).await;
    books.accept((1..=9).map(|n| books.payment(1, 1).in_batch(hold.id, n)).collect()).await;
    database.execute("ANALYZE events").await.unwrap();
    let [tenant, upload] = [books.tenant.0, hold.id.0].map(|id| format!("'{id}'::uuid"));

    let plan = database.plan(&statement("read_control_totals", &[&tenant, &upload])).await;

    let walked = ["rows=9", "loops=9"].iter().any(|walk| plan.contains(walk));
    assert!(plan.contains("on parked") && !walked, "{plan}");
}

/// Neither with the rows that have moved, of which an upload that came again in another order has as many as rows, nor with
/// the exceptions of its own, of which a bad file has: statistics know other uploads and not yet this one.
#[tokio::test]
async fn a_result_is_not_compared_with_all_exceptions() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    for n in 1..=4 {
        let hold = begin(&books, &format!("upload:{n}"), n).await;
        let bad = (1..=200).map(|row_no| exception(row_no, "duplicate")).collect();
        books.store.add_exceptions(hold, bad).await.unwrap();
    }
    let nobody = "'00000000-0000-0000-0000-000000000001'::uuid";
    let events = statement("read_upload_events", &[nobody, nobody, "1", "500"]);
    let exceptions = statement("read_exceptions", &[nobody, nobody, "1", "500"]);

    for statistics in ["SELECT", "ANALYZE batch_exceptions"] {
        database.execute(statistics).await.unwrap();
        for (sql, asked) in [(&events, "(event_id = e.id)"), (&exceptions, "(event_id = x.event_id)")] {
            let plan = database.plan(sql).await;
            assert!(plan.contains(&format!("Index Cond: {asked}")), "{statistics}: {plan}");
        }
    }
}

/// The newest upload and the newest days stand at the end of the journal, where a walk of it would come to them last; and
/// statistics do not know them yet, so that they are taken for small enough to be sorted.
#[tokio::test]
async fn a_list_of_payments_walks_as_far_as_its_page() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let (mut upload, mut accepted) = (uuid::Uuid::nil(), Vec::new());
    for n in 1..=4 {
        database.execute("ANALYZE events").await.unwrap();
        let hold = begin(&books, &format!("upload:{n}"), n).await;
        let rows = (1..=400).map(|row| books.payment(1, 1).in_batch(hold.id, row));
        (upload, accepted) = (hold.id.0, books.accept(rows.collect()).await);
    }
    let loan = uuid::Uuid::from_bytes(books.key(1).bytes());
    let (first, last) = (accepted.first().unwrap().id.0, accepted.last().unwrap().id.0);
    let (nil, max) = (uuid::Uuid::nil(), uuid::Uuid::max());
    let [tenant, upload, loan, first, last, nil, max] =
        [books.tenant.0, upload, loan, first, last, nil, max].map(|id| format!("'{id}'::uuid"));
    let (none, text) = ("NULL::uuid", "NULL::text");

    for (of, path, from, before, upload, index) in [
        ("loan", &loan, &nil, &max, none, "events_loan_seq"),
        ("loan", &loan, &first, &last, &upload, "events_loan_seq"),
        ("batch", &upload, &nil, &max, none, "events_batch_row"),
        ("span", &first, &first, &last, none, "events_id"),
    ] {
        let page = [path, "0", from, before, &tenant, text, text, "51", upload, "50000"];
        let page = statement(&format!("payments_of_{of}"), &page);
        let end = statement(&format!("last_walked_of_{of}"), &[path, "0", "50", before]);
        for sql in [&page, &end] {
            let plan = database.plan_without(&["enable_sort"], sql).await;
            let walk = plan.lines().find(|line| line.contains(" on events e")).unwrap();
            let walked = walk.split("rows=").nth(1).unwrap().split(' ').next().unwrap();
            let of_upload_and_loan = from == &first && of == "loan";
            assert!(walk.contains(index), "{of}: {plan}");
            assert!(of_upload_and_loan || walked.parse::<u32>().unwrap() < 150, "{of}: {plan}");
        }
    }
}

/// Nobody walks a file for what has been ended, nor all postings for what was rejected.
#[tokio::test]
async fn the_list_of_rejected_rows_walks_no_file_that_has_none_open() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1000])]).await;
    let file = refused(&books, 1, "collections", 1).await;
    let [tenant, first] = [books.tenant.0, uuid::Uuid::nil()].map(|id| format!("'{id}'::uuid"));
    let sql = statement("read_rejections", &[&tenant, "NULL::text", &first, "0", "51"]);

    let open = database.plan(&sql).await;
    let row = FileRow { batch: file.id, row_no: 10 };
    let rejected = books.store.rejection(books.tenant, row).await.unwrap().unwrap().rejected.event_id;
    let end = NewReview { rejected: Some(rejected), ..review(&books, "review:1", row, None) };
    books.store.review(end).await.unwrap();
    let ended = database.plan(&sql).await;

    assert!(open.contains("Index Cond: (event_seq = e.seq)") && open.contains("events_batch_row"), "{open}");
    let walk = |plan: &str| plan.lines().find(|line| line.contains("events_batch_row")).unwrap().to_owned();
    assert!(!walk(&open).contains("never executed") && walk(&ended).contains("never executed"), "{ended}");
}

#[tokio::test]
async fn every_migration_file_is_applied() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let files = std::fs::read_dir(directory).unwrap().count();
    let database = PostgresDatabase::open().await;
    let mut connection = database.connection().await;
    let row = connection.fetch_one("SELECT count(*) FROM _sqlx_migrations WHERE success").await.unwrap();
    assert_eq!(usize::try_from(row.get::<i64, _>(0)).unwrap(), files);
}

/// The statements that docs/upgrading.md gives operators of large books do what the migration does, and nothing twice.
#[tokio::test]
async fn late_fees_can_be_migrated_while_servers_run() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/upgrading.md")).unwrap();
    let block = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let text: Vec<&str> = block.lines().filter(|line| !line.starts_with("--")).collect();
    let text = text.join("\n");
    let steps: Vec<&str> = text.split_inclusive(';').map(str::trim).filter(|step| !step.is_empty()).collect();
    let database = PostgresDatabase::open().await;
    let schema = async || {
        let mut connection = database.connection().await;
        let sql = "SELECT pg_get_constraintdef(c.oid), c.convalidated, pg_get_indexdef(i.indexrelid), i.indisvalid \
            FROM pg_constraint c, pg_index i WHERE c.conname = 'postings_rejection_code_check' \
            AND i.indexrelid = 'events_late_fees'::regclass";
        let row = connection.fetch_one(sql).await.unwrap();
        (row.get::<String, _>(0), row.get::<bool, _>(1), row.get::<String, _>(2), row.get::<bool, _>(3))
    };
    let migrated = schema().await;
    // As it was; migrations behind it are out of sight.
    let before = "DELETE FROM _sqlx_migrations WHERE version = 30; DROP INDEX events_late_fees; \
        UPDATE _sqlx_migrations SET version = -version WHERE version > 30; \
        ALTER TABLE postings DROP CONSTRAINT postings_rejection_code_check; \
        ALTER TABLE postings ADD CONSTRAINT postings_rejection_code_check CHECK (rejection_code <> 'paid_on_time')";
    database.execute(before).await.unwrap();
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 1)]).await;
    let mut connection = database.connection().await;
    let done = async |connection: &mut PgConnection| {
        let last = steps.last().copied().unwrap().to_owned();
        connection.execute(AssertSqlSafe(last)).await.map(|done| done.rows_affected()).ok()
    };
    for step in steps.iter().take(steps.len() - 1) {
        assert_ne!(done(&mut connection).await, Some(1), "not before {step}");
        connection.execute(AssertSqlSafe((*step).to_owned())).await.unwrap();
    }
    assert_eq!((done(&mut connection).await, done(&mut connection).await), (Some(1), Some(0)));
    assert_eq!(schema().await, migrated);
    database.execute("UPDATE _sqlx_migrations SET version = -version WHERE version < 0").await.unwrap();
    database.store().migrate(8).await.unwrap();
    assert_eq!(database.store().schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(schema().await, migrated);
    prove(&books.store).await;
}

/// Which key of a row PostgreSQL asks first changes when an index is built anew.
#[tokio::test]
async fn what_a_lost_answer_had_accepted_is_new_whatever_index_says_so() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    for count in [3, 600] {
        let events: Vec<_> = (0..count).map(|n| books.payment(n % 7, 100)).collect();
        let first = books.accept(events.clone()).await;
        database.execute("REINDEX INDEX CONCURRENTLY events_key_hash").await.unwrap();
        assert_eq!(books.accept(events).await, first);
        // Taken keys are expected for a while after one was taken.
        for n in 0..40 {
            books.accept(vec![books.payment(n, 1)]).await;
        }
    }
}

/// A review takes a row of a file from the exceptions to the events. A reader that is between the two lists when it commits
/// sees the row where it was.
#[tokio::test]
async fn the_rows_of_an_upload_are_read_as_of_one_moment() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let hold = begin(&books, "upload:1", 1).await;
    assert!(books.store.add_exceptions(hold, vec![exception(1, "soft_duplicate")]).await.unwrap());
    let (mut person, mut watch) = (database.connection().await, database.connection().await);
    let mut review = person.begin().await.unwrap();
    // Of the two reads only that of the exceptions asks this table.
    review.execute("LOCK TABLE payment_batches IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let upload = UploadRef { tenant: books.tenant, id: hold.id };
    let reading = books.store.upload_rows(upload, 1..=10);
    let reviewing = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'payment_batches'::regclass AND NOT granted";
        while watch.fetch_one(waits).await.unwrap().get::<i64, _>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let resolve = "UPDATE batch_exceptions SET resolution = 'posted', resolution_reason = 'looked at', \
            resolved_by = 'a person', resolved_at = now(), open_for = NULL";
        assert_eq!(review.execute(resolve).await.unwrap().rows_affected(), 1);
        review.commit().await.unwrap();
    };
    let both = async { tokio::join!(reading, reviewing) };
    let (read, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("the reader waits for the lock");
    assert_eq!(read.unwrap().exceptions, [exception(1, "soft_duplicate")]);
    assert_eq!(books.store.upload_rows(upload, 1..=10).await.unwrap().exceptions, []);
}

/// A number is drawn, another event of the loan is accepted and posted, and only then the first one commits.
#[tokio::test]
async fn lower_seq_committed_by_a_slow_transaction_is_posted() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let template = books.book(vec![books.payment(1, 1)]).await[0];
    let mut slow = database.connection().await;
    let mut slow = slow.begin().await.unwrap();
    let late = insert_copy(&mut slow, &books, template).await;
    let quick = books.book(vec![books.payment(1, 2)]).await[0];
    assert!(quick.seq > late.seq);
    assert_eq!(books.post(&[late]).await.unknown, [late.id], "not there yet");
    slow.commit().await.unwrap();

    assert_eq!(books.post(&[late]).await.posted.len(), 1);

    assert_eq!(books.loan(1).await.unwrap().state.last_posted_seq, quick.seq);
    prove(&books.store).await;
}

/// A copy of an event under another number, id and key.
async fn insert_copy(connection: &mut PgConnection, books: &Books, template: Wanted) -> Wanted {
    let copy = format!(
        "INSERT INTO events SELECT nextval('events_seq'), accepted_at, amount, group_seq, cause_seq, row_no, \
         effective_date, leg, slot, '00000000-0000-7000-8000-00000000aaaa', tenant, loan_key, loan_id, borrower_id, \
         '00000000-0000-0000-0000-00000000aaaa', publisher, batch_id, kind, currency, source_method, 'slow:key:1', \
         fingerprint, actor, external_ref, metadata, details FROM events WHERE seq = {} RETURNING seq",
        template.seq
    );
    let row = connection.fetch_one(AssertSqlSafe(copy)).await.unwrap();
    // Its intake counted it, under a publisher of its own.
    let counted = format!(
        "INSERT INTO publisher_totals (publisher, tenant, is_bulk, accepted, amount) SELECT \
         '00000000-0000-0000-0000-00000000aaaa', tenant, false, 1, amount FROM events WHERE seq = {}",
        template.seq
    );
    connection.execute(AssertSqlSafe(counted)).await.unwrap();
    let id = "00000000-0000-7000-8000-00000000aaaa".parse().map(EventId).unwrap();
    Wanted { seq: Seq(row.get(0)), id, loan_key: books.key(1) }
}

/// The mark stops in front of a number whose transaction may still commit, so a round from the mark on finds it.
#[tokio::test]
async fn the_mark_waits_for_a_slow_transaction() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let template = books.book(vec![books.payment(1, 1)]).await[0];
    let mut slow = database.connection().await;
    let mut slow = slow.begin().await.unwrap();
    let late = insert_copy(&mut slow, &books, template).await;
    let quick = books.book(vec![books.payment(1, 2)]).await[0];
    let mark = async || {
        let mut connection = database.connection().await;
        Seq(connection.fetch_one("SELECT mark FROM sweeper").await.unwrap().get(0))
    };

    let round = sweep(&books).await;
    assert_eq!((round.finished_to, round.candidates.len()), (quick.seq, 0));
    assert_eq!(mark().await, template.seq, "never the gap, nor beyond it");
    slow.commit().await.unwrap();

    let round = sweep(&books).await;
    assert_eq!(round.candidates.iter().map(|found| found.id).collect::<Vec<_>>(), [late.id]);
    books.post(&[late]).await;
    sweep(&books).await;
    assert_eq!(mark().await, quick.seq);
    prove(&books.store).await;
}

/// Nobody sees a number before its commit: the sweeper's mark waits longer than the intake's statement may take.
#[tokio::test]
async fn the_intake_and_the_lanes_have_their_own_time_limits() {
    let database = PostgresDatabase::open().await;
    database
        .execute(
            "CREATE TABLE limits (at_table text, statement_timeout text); \
             CREATE FUNCTION note_limit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO limits VALUES (TG_TABLE_NAME, current_setting('statement_timeout')); RETURN NULL; END $$; \
             CREATE TRIGGER note AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION note_limit(); \
             CREATE TRIGGER note AFTER INSERT ON postings FOR EACH STATEMENT EXECUTE FUNCTION note_limit()",
        )
        .await
        .unwrap();
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    books.book(vec![books.payment(1, 1)]).await;

    let seen = "SELECT array_agg(DISTINCT at_table || ' ' || statement_timeout ORDER BY at_table || ' ' || \
                statement_timeout) FROM limits";
    let seen: Vec<String> = database.connection().await.fetch_one(seen).await.unwrap().get(0);
    assert_eq!(seen, ["events 10s", "postings 30s"]);
    prove(&books.store).await;
}

#[tokio::test]
async fn skip_locked_leaves_the_others() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 500])]).await;
    let wanted = books.accept(vec![books.payment(1, 1), books.payment(2, 1), books.payment(3, 1)]).await;
    let mut other = database.connection().await;
    let mut other = other.begin().await.unwrap();
    let lock = format!("SELECT FROM loans WHERE loan_id = '{}' FOR UPDATE", crate::support::books::loan_id(1));
    other.execute(AssertSqlSafe(lock)).await.unwrap();

    let waiting = books.try_post(&wanted, fold::plain()).await;
    assert!(matches!(waiting, Err(StoreError::Retry(_))), "the lock timeout asks to try again: {waiting:?}");
    let skipping = PostWork { skip_locked: true, ..work(&wanted) };
    let batch = books.store.post_batch(skipping, fold::plain()).await.unwrap();

    assert_eq!((batch.posted.len(), batch.left), (2, vec![wanted[0].id]));
    other.rollback().await.unwrap();
    assert_eq!(books.post(&wanted).await.posted.len(), 1);
    prove(&books.store).await;
}

/// A restart costs one call, not one for each connection that was at rest.
#[tokio::test]
async fn one_call_finds_out_about_a_restart() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let accept = |loan: u128| books.store.accept(books.publisher, vec![books.payment(loan, 1)]);
    let (first, second, third) = tokio::join!(accept(1), accept(2), accept(3));
    first.and(second).and(third).unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(end).await.unwrap();

    let failed = accept(4).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    let (first, second, third) = tokio::join!(accept(5), accept(6), accept(7));
    first.and(second).and(third).unwrap();
}

/// A network that swallows everything ends a call, and its connections do not come back.
#[tokio::test]
async fn a_silent_server_ends_a_call() {
    let database = PostgresDatabase::open().await;
    let proxy = Proxy::start(database.server()).await;
    let store = database.store_at(proxy.address()).await.with_call_max(Duration::from_millis(500));
    store.now().await.unwrap();
    proxy.set(Mode::BlackHole);
    for _ in 0..6 {
        let silent = store.now().await;
        assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    }
    proxy.set(Mode::Forward);

    let store = store.with_call_max(Duration::from_secs(20));
    store.now().await.unwrap();
}

/// A server that cannot write for a while must not make us believe that the payments are wrong.
#[tokio::test]
async fn a_full_disk_is_unavailable() {
    let database = PostgresDatabase::open().await;
    let books = Books::open(database.store(), 1).await;
    let full = "CREATE FUNCTION fill_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$; \
        CREATE TRIGGER fill_disk BEFORE INSERT ON events EXECUTE FUNCTION fill_disk()";
    database.execute(full).await.unwrap();
    let refused = books.store.accept(books.publisher, vec![books.payment(1, 1)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    database.execute("DROP TRIGGER fill_disk ON events").await.unwrap();
    assert_eq!(books.accept(vec![books.payment(1, 1)]).await.len(), 1);
}

/// Inserts a posting with the given columns; the others are those of a posted payment.
fn posting(accounts: &str, amounts: &str, outcome: &str, allocation: &str) -> String {
    format!(
        "INSERT INTO postings (event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer, \
         alloc_fees, alloc_interest, alloc_principal, alloc_suspense, effective_date, booking_date, posted_at, \
         chain_hash) VALUES (900, '00000000-0000-0000-0000-000000000001', 1, {outcome}, {accounts}, {amounts}, \
         'SETTLED', {allocation}, '2026-01-01', '2026-01-01', now(), decode(repeat('00', 32), 'hex'))"
    )
}

#[tokio::test]
async fn unbalanced_lines_are_refused_by_the_database() {
    let database = PostgresDatabase::open().await;
    let (posted, rejected) = ("'posted', NULL", "'rejected', 'loan_closed'");
    let (paid, none) = ("0, 0, 100, 0", "NULL, NULL, NULL, NULL");
    let nine_accounts = "ARRAY[1,2,3,4,5,6,7,8,9]::smallint[]";
    for (accounts, amounts, outcome, allocation) in [
        ("'{1010,1100}'", "'{100,-99}'", posted, paid),
        ("'{1010,1100}'", "NULL", posted, paid),
        ("NULL", "'{100,-100}'", posted, paid),
        ("'{1010,1100}'", "'{100,NULL}'", posted, paid),
        ("'{1010,NULL}'", "'{100,-100}'", posted, paid),
        ("'{1010,1100,1200}'", "'{100,-100,NULL}'", posted, paid),
        ("'{1010,1100,1200}'", "'{100,-100,0}'", posted, paid),
        ("'{1010}'", "'{100,-100}'", posted, paid),
        ("'{}'", "'{}'", posted, paid),
        ("'{1010,1100}'", "'{100,-100}'", rejected, none),
        ("'{1010,1100}'", "'{9223372036854775807,9223372036854775807}'", posted, paid),
        ("'{1010,1100}'", "'{-9223372036854775808,-9223372036854775808}'", posted, paid),
        ("'{1010,1100}'", "'[9:10]={100,50}'", posted, paid),
        ("'{{1010,1100},{1010,1100}}'", "'{{100,50},{100,50}}'", posted, paid),
        (nine_accounts, "'{1,1,1,1,1,1,1,1,-9}'", posted, paid),
        (nine_accounts, "'{9223372036854775807,9223372036854775807,1,1,1,1,1,1,1}'", posted, paid),
        ("'{1010,1100}'", "'{100,-100}'", "'posted', 'loan_closed'", paid),
        ("'{1010,1100}'", "'{100,-100}'", posted, "0, 0, 100, NULL"),
        ("'{1010,1100}'", "'{100,-100}'", "'maybe', NULL", paid),
    ] {
        let refused = database.execute(&posting(accounts, amounts, outcome, allocation)).await;
        assert!(refused.is_err(), "{accounts} {amounts} {outcome} {allocation}");
    }
    for (accounts, amounts, outcome, allocation) in [
        ("'{1010,1100}'", "'{100,-100}'", posted, paid),
        (nine_accounts, "'{1,1,1,1,1,1,1,1,-8}'", posted, paid),
        ("'{1010,1100,1200}'", "'{9223372036854775807,1,-9223372036854775808}'", posted, paid),
        ("'{}'", "'{}'", posted, none),
        ("'{}'", "'{}'", rejected, none),
    ] {
        let insert = posting(accounts, amounts, outcome, allocation);
        database.execute(&format!("BEGIN; {insert}; ROLLBACK")).await.unwrap();
    }
}

#[tokio::test]
async fn truncate_is_refused() {
    let database = PostgresDatabase::open().await;
    for table in ["events", "postings"] {
        let done = database.execute(&format!("TRUNCATE {table} CASCADE")).await;
        assert!(done.is_err_and(|refusal| refusal.contains("insert-only")), "{table}");
    }
}

/// Every word of the domain is a word of the schema.
#[tokio::test]
async fn the_schema_knows_every_word_of_the_domain() {
    let database = PostgresDatabase::open().await;
    let mut connection = database.connection().await;
    let sql = "SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint WHERE contype = 'c'";
    let checks: String = connection.fetch_one(sql).await.unwrap().get(0);
    let kinds = EventKind::ALL.map(EventKind::as_str);
    let words = kinds.into_iter().chain(SourceMethod::ALL.map(SourceMethod::as_str));
    for word in words.chain(RejectionCode::ALL.map(RejectionCode::as_str)) {
        assert!(checks.contains(&format!("'{word}'")), "{word}");
    }
}
