//! Whole systems of real processes: the `hpts` binary, PostgreSQL and RabbitMQ, each test with its own database and
//! queue prefix. What a test starts is killed when it ends, however it ends.

mod bank;
pub(crate) mod client;
mod crash;
mod explanations;
mod feeds;
mod holds;
mod imports;
mod injected;
mod keys;
mod life;
mod loan_reads;
mod monitoring;
mod outside_issuer;
mod pollers;
mod restart;
mod role;
mod schemas;
mod spans;
mod uploads;
mod webhooks;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

const BINARY: &str = env!("CARGO_BIN_EXE_hpts");
/// How long a server may take to become ready, or a system to become quiet.
const PATIENCE: Duration = Duration::from_mins(1);

fn variable(name: &str, default: &str) -> String {
    std::env::vars().find(|(key, _)| key == name).map_or_else(|| default.to_owned(), |(_, value)| value)
}

pub(crate) fn database_url() -> String {
    variable("HPTS_TEST_DATABASE_URL", "postgres://hpts:hpts@127.0.0.1:5432/hpts")
}

pub(crate) fn amqp_url() -> String {
    variable("HPTS_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (server, rest) = url.rsplit_once('/').unwrap();
    let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{server}/{database}{options}")
}

/// One running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
    /// Where it tells its health and metrics.
    pub(crate) monitor: u16,
}

impl Process {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; answers the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A distributed system: its database and queues, and the means to start processes on them.
#[derive(Debug)]
pub(crate) struct System {
    settings: Vec<(&'static str, String)>,
    database: Option<String>,
    pub(crate) prefix: String,
    data_dir: Option<PathBuf>,
}

impl System {
    /// A fresh database and queue prefix, migrated, with the demo loaded.
    pub(crate) async fn distributed() -> Self {
        let name = format!("hpts_test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&database_url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        let settings = vec![
            ("HPTS_DATABASE_URL", with_database(&database_url(), &name)),
            ("HPTS_AMQP_URL", amqp_url()),
            ("HPTS_QUEUE_PREFIX", name.clone()),
            ("HPTS_PARTITIONS", "4".to_owned()),
            ("HPTS_LOG", "warn".to_owned()),
        ];
        let system = Self { settings, database: Some(name.clone()), prefix: name, data_dir: None };
        system.run(&["migrate"]);
        system.run(&["demo"]);
        system
    }

    /// The same system, for processes that come to the database as another role. It must not outlive the first.
    pub(crate) fn as_role(&self, role: &str, password: &str) -> Self {
        let url = self.database_url();
        let (_, place) = url.rsplit_once('@').unwrap();
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| *name != "HPTS_DATABASE_URL");
        settings.push(("HPTS_DATABASE_URL", format!("postgres://{role}:{password}@{place}")));
        Self { settings, database: None, prefix: self.prefix.clone(), data_dir: None }
    }

    /// A fresh data folder; `serve --demo` fills it.
    pub(crate) fn embedded() -> Self {
        let prefix = format!("hpts_test_{}", Uuid::new_v4().simple());
        let data_dir = std::env::temp_dir().join(&prefix);
        let settings = vec![("HPTS_DATA_DIR", data_dir.display().to_string()), ("HPTS_LOG", "warn".to_owned())];
        Self { settings, database: None, prefix, data_dir: Some(data_dir) }
    }

    /// The database of this system.
    pub(crate) fn database_url(&self) -> String {
        self.settings.iter().find(|(name, _)| *name == "HPTS_DATABASE_URL").unwrap().1.clone()
    }

    /// The folder of an embedded system.
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("HPTS_"));
        ours.for_each(|name| {
            command.env_remove(name);
        });
        command.args(arguments).envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command of the demo client to its end, while the test goes on with something else.
    pub(crate) async fn output_beside(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env("HPTS_CLIENT_ID", "demo").env("HPTS_CLIENT_SECRET", "demo-secret");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// The same; tells as soon as the command says something on its standard error.
    pub(crate) async fn output_telling(
        &self,
        arguments: &[&str],
        said: &'static str,
        told: oneshot::Sender<()>,
    ) -> Output {
        let mut command = self.command(arguments);
        command.env("HPTS_CLIENT_ID", "demo").env("HPTS_CLIENT_SECRET", "demo-secret");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = move || {
            let mut child = command.spawn().unwrap();
            let (mut errors, mut told) = (String::new(), Some(told));
            for line in BufReader::new(child.stderr.take().unwrap()).lines() {
                let line = line.unwrap();
                if line.contains(said)
                    && let Some(told) = told.take()
                {
                    told.send(()).unwrap();
                }
                errors += &(line + "\n");
            }
            Output { stderr: errors.into_bytes(), ..child.wait_with_output().unwrap() }
        };
        tokio::task::spawn_blocking(running).await.unwrap()
    }

    /// Runs a command that must succeed; answers what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hpts {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts `serve`, `api` or `worker` and waits until it is ready.
    pub(crate) async fn start(&self, arguments: &[&str]) -> Process {
        self.start_with(arguments, &[]).await
    }

    /// The same with more settings.
    pub(crate) async fn start_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let (port, monitor) = (free_port(), free_port());
        let child = self
            .command(arguments)
            .env("HPTS_LISTEN", format!("127.0.0.1:{port}"))
            .env("HPTS_METRICS_LISTEN", format!("127.0.0.1:{monitor}"))
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let process = Process { child, port, monitor };
        let ready = format!("http://127.0.0.1:{monitor}/health/ready");
        wait_until("the process is ready", || async {
            reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        process
    }

    /// Waits until nothing is in flight, then proves the books. Answers the report.
    pub(crate) async fn verified(&self) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.output(&["verify", "--json"]);
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if report["in_flight"] == 0 {
                assert_eq!(report["problems"], serde_json::json!([]), "{report}");
                assert!(output.status.success(), "{output:?}");
                return report;
            }
            assert!(Instant::now() < deadline, "still in flight: {report}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(folder) = &self.data_dir {
            let _gone = std::fs::remove_dir_all(folder);
        }
        let Some(name) = self.database.clone() else { return };
        // Drop cannot wait on the test's runtime, so a thread with its own cleans up.
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean_up(&name));
        });
        let _cleaned = cleaned.join();
    }
}

async fn clean_up(name: &str) {
    if let Ok(mut admin) = PgConnection::connect(&database_url()).await {
        let dropped = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let _dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(dropped)).execute(&mut admin).await;
    }
    let Ok(connection) = lapin::Connection::connect(&amqp_url(), lapin::ConnectionProperties::default()).await else {
        return;
    };
    for queue in queues(name) {
        if let Ok(channel) = connection.create_channel().await {
            let _deleted = channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await;
        }
    }
}

/// Every durable queue of a system with four partitions.
pub(crate) fn queues(prefix: &str) -> Vec<String> {
    let of_partitions =
        (0..4).flat_map(|partition| ["", ".bulk"].map(|class| format!("{prefix}.events.1.p{partition:02}{class}")));
    of_partitions.chain([format!("{prefix}.dead")]).collect()
}

/// Waits for a condition, with a deadline.
pub(crate) async fn wait_until<F, R>(what: &str, condition: F)
where
    F: Fn() -> R,
    R: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
