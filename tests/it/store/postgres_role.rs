//! What the role of the servers may do at PostgreSQL: all that they need, and nothing to the journal or the schema.

use std::collections::BTreeSet;

use hpts::store::postgres::{copies, statements};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::postgres::{PostgresDatabase, service_role};

/// Looks for the rights of the role, without running anything: a plan is not made ready for who may not run it.
async fn refusal(connection: &mut PgConnection, sql: &str) -> Option<String> {
    connection.execute(AssertSqlSafe(format!("PREPARE asked AS {sql}"))).await.unwrap();
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'";
    let count: i32 = connection.fetch_one(count).await.unwrap().get(0);
    let nulls = vec!["NULL"; usize::try_from(count).unwrap()].join(", ");
    let values = if count == 0 { String::new() } else { format!("({nulls})") };
    let explained = connection.execute(AssertSqlSafe(format!("EXPLAIN EXECUTE asked{values}"))).await;
    connection.execute("DEALLOCATE asked").await.unwrap();
    explained.err().map(|error| error.to_string())
}

#[tokio::test]
async fn the_role_may_run_every_statement() {
    service_role().await;
    let database = PostgresDatabase::open().await;
    let mut connection = database.connection().await;
    connection.execute("SET ROLE hpts_service").await.unwrap();
    let (mut refused, mut asked) = (Vec::new(), 0);
    for (name, sql) in statements() {
        if ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE"].iter().any(|word| sql.trim_start().starts_with(word)) {
            asked += 1;
            refused.extend(refusal(&mut connection, sql).await.map(|error| format!("{name}: {error}")));
        }
    }
    // Signature, flags, no header extension; then the end of the rows, of which there are none.
    let no_rows = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".as_slice(), &[0xff; 2]].concat();
    for sql in copies() {
        let mut copy = connection.copy_in_raw(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        copy.send(no_rows.as_slice()).await.unwrap();
        assert_eq!(copy.finish().await.unwrap(), 0, "{sql}");
    }
    assert!(asked > 200, "only {asked} were asked");
    assert_eq!(refused, Vec::<String>::new(), "its migration grants it");
}

#[tokio::test]
async fn the_role_may_not_touch_journal_or_schema() {
    service_role().await;
    let database = PostgresDatabase::open().await;
    let mut connection = database.connection().await;
    connection.execute("SET ROLE hpts_service").await.unwrap();
    for sql in [
        "UPDATE postings SET amounts = amounts",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE changes SET seqs = seqs",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TABLE postings",
        "UPDATE epoch SET number = 1",
    ] {
        let refused = connection.execute(sql).await.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{sql}: {refused}");
    }
}

/// docs/operations.md gives a role that is made late what the migrations give one that was there.
#[tokio::test]
async fn a_role_that_comes_late_is_given_the_same() {
    service_role().await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let grants = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let database = PostgresDatabase::open().await;
    let rights = async || {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let sql = "SELECT c.relname::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a \
            WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 'hpts_service'::regrole";
        let rows = connection.fetch_all(sql).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeSet<(String, String)>>()
    };
    let migrated = rights().await;
    assert!(migrated.len() > 100, "{migrated:?}");
    let all = "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM hpts_service; \
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM hpts_service";
    database.execute(all).await.unwrap();
    assert_eq!(rights().await, BTreeSet::new());
    database.execute(grants).await.unwrap();
    assert_eq!(rights().await, migrated);
}
