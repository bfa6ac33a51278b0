//! Commands where there are no books, books of another release, or queues that are missing: they say so, and change
//! nothing.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use crate::processes::System;
use crate::support::amqp::Raw;

const TENANT: &str = "00000000-0000-7000-8000-00000000de30";

/// Commands that read or administer.
const COMMANDS: [&[&str]; 8] = [
    &["verify"],
    &["migrate", "--check"],
    &["parked", "list"],
    &["keys", "list"],
    &["keys", "rotate"],
    &["tenant", "create", "--name", "Lender"],
    &["client", "create", "--tenant", TENANT, "--id", "teller"],
    &["feed", "list", "--tenant", TENANT],
];

/// Each of them ends with 1, prints nothing, and names the cause.
fn refused(system: &System, commands: &[&[&str]], cause: &str) {
    for arguments in commands {
        let output = system.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}: {output:?}");
        assert!(errors.contains(cause), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_folder_without_books_is_named_and_stays_empty() {
    let system = System::embedded();
    let folder = system.data_dir().unwrap();
    refused(&system, &COMMANDS, &format!("there are no books at {}", folder.join("hpts.sqlite3").display()));
    assert!(!folder.exists());
    system.run(&["migrate"]);
    assert!(system.run(&["migrate", "--check"]).contains("the schema is current"));
    assert!(system.run(&["verify"]).contains("the books are proved"));
}

#[tokio::test]
async fn a_file_of_an_earlier_release_is_left_as_it_is() {
    let system = System::embedded();
    system.run(&["migrate"]);
    let file = SqliteConnectOptions::new().filename(system.data_dir().unwrap().join("hpts.sqlite3"));
    let mut connection = file.connect().await.unwrap();
    sqlx::raw_sql("DELETE FROM migrations WHERE version = 23").execute(&mut connection).await.unwrap();
    refused(&system, &COMMANDS, "run `hpts migrate`");
    refused(&system, &[&["demo"]], "run `hpts migrate`");
    let row = sqlx::query("SELECT count(*) FROM migrations WHERE version = 23").fetch_one(&mut connection).await;
    assert_eq!(row.unwrap().get::<i64, _>(0), 0, "nothing was applied");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_an_earlier_release_is_left_as_it_is() {
    let system = System::distributed().await;
    let mut connection = PgConnection::connect(&system.database_url()).await.unwrap();
    sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version = 30").execute(&mut connection).await.unwrap();
    refused(&system, &COMMANDS, "run `hpts migrate`");
    refused(&system, &[&["demo"]], "run `hpts migrate`");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_check_names_a_missing_queue_and_does_not_make_it() {
    let system = System::distributed().await;
    let shown = system.run(&["migrate", "--check"]);
    assert_eq!(shown, "the schema is current, generation 1 with 4 partitions declared\n");
    let queue = format!("{}.events.1.p02.bulk", system.prefix);
    Raw::connect().await.delete(std::slice::from_ref(&queue)).await;
    for _ in 0..2 {
        refused(&system, &[&["migrate", "--check"]], &format!("the broker has no queue {queue}"));
    }
    system.run(&["migrate"]);
    system.run(&["migrate", "--check"]);
}
