//! Owns the configuration: one typed struct from flags and environment, read once and checked together.
//!
//! Every setting is a flag and an environment variable of the same meaning. Secrets may come from a file named by
//! `<VARIABLE>_FILE`. An unknown `HPTS_…` variable or a contradiction stops the start with one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::runtime::jwks_url::JwksUrl;
use crate::runtime::spans::OtlpEndpoint;
use crate::runtime::webhook_target::{AllowedHost, TargetPolicy};

/// Variables that other parts of the project read: tests, scripts, and the compose file.
const OTHER_VARIABLES: [&str; 8] = [
    "HPTS_TEST_DATABASE_URL",
    "HPTS_TEST_AMQP_URL",
    "HPTS_CLIENT_ID",
    "HPTS_CLIENT_SECRET",
    "HPTS_CLIENT_SECRET_FILE",
    "HPTS_TOKEN_URL",
    "HPTS_SHARED_BUFFERS",
    "HPTS_GIT_SHA",
];
/// Variables whose value may stand in a file, with their flags.
const SECRET_VARIABLES: [(&str, &str); 3] = [
    ("HPTS_DATABASE_URL", "--database-url"),
    ("HPTS_MIGRATE_DATABASE_URL", "--migrate-database-url"),
    ("HPTS_AMQP_URL", "--amqp-url"),
];

/// The name of the built-in issuer, in the tokens it signs.
const BUILT_IN_ISSUER: &str = "hpts";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable with our prefix that means nothing.
    #[error("unknown setting {0} in the environment")]
    Unknown(String),
    /// Settings that cannot both hold, or one that needs another.
    #[error("{0}")]
    Contradiction(String),
    /// A `…_FILE` that cannot be read.
    #[error("cannot read the file that {variable}_FILE names")]
    SecretFile {
        /// The variable without `_FILE`.
        variable: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Whether missing queues may be declared by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeclareQueues {
    /// Again exactly as recorded, with a warning.
    Auto,
    /// Only by `hpts migrate`.
    Never,
}

/// A listening address, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    /// Serve metrics and health here.
    On(SocketAddr),
    /// Serve none.
    Off,
}

fn metrics_listen(text: &str) -> Result<MetricsListen, String> {
    if text == "off" {
        return Ok(MetricsListen::Off);
    }
    text.parse().map(MetricsListen::On).map_err(|_| "must be ADDRESS:PORT or off".to_owned())
}

/// Every setting of a process.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Where the API listens.
    #[arg(long, env = "HPTS_LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub listen: SocketAddr,
    /// Base of the URLs in answers; relative where unset.
    #[arg(long, env = "HPTS_PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// Where metrics and the worker's health listen: ADDRESS:PORT, or off.
    #[arg(long, env = "HPTS_METRICS_LISTEN", default_value = "127.0.0.1:9464", value_parser = metrics_listen, global = true)]
    pub metrics_listen: MetricsListen,
    /// Where the embedded store lives.
    #[arg(long, env = "HPTS_DATA_DIR", default_value = "./hpts-data", global = true)]
    pub data_dir: PathBuf,
    /// PostgreSQL, as the servers use it; embedded `SQLite` where unset.
    #[arg(long, env = "HPTS_DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// PostgreSQL, as the owner of the schema; `database_url` where unset.
    #[arg(long, env = "HPTS_MIGRATE_DATABASE_URL", hide_env_values = true, global = true)]
    pub migrate_database_url: Option<String>,
    /// RabbitMQ; the in-process queue where unset.
    #[arg(long, env = "HPTS_AMQP_URL", hide_env_values = true, global = true)]
    pub amqp_url: Option<String>,
    /// Whether servers may declare missing queues again.
    #[arg(long, env = "HPTS_AMQP_DECLARE", value_enum, default_value = "auto", global = true)]
    pub amqp_declare: DeclareQueues,
    /// First part of every queue's name.
    #[arg(long, env = "HPTS_QUEUE_PREFIX", default_value = "hpts", global = true)]
    pub queue_prefix: String,
    /// How many partitions the first migration makes.
    #[arg(long, env = "HPTS_PARTITIONS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), global = true)]
    pub partitions: u16,
    /// How many batches a worker posts at once.
    #[arg(long, env = "HPTS_LANES", default_value_t = 2, value_parser = clap::value_parser!(i16).range(1..=64), global = true)]
    pub lanes: i16,
    /// The most database connections of a process.
    #[arg(long, env = "HPTS_DB_POOL", default_value_t = 10, value_parser = clap::value_parser!(u32).range(3..=1000), global = true)]
    pub db_pool: u32,
    /// The most events of one posting transaction.
    #[arg(long, env = "HPTS_BATCH_MAX", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=10_000), global = true)]
    pub batch_max: u32,
    /// How often the books are reconciled, in minutes; 0 leaves it to `hpts verify` and to callers who ask.
    #[arg(long, env = "HPTS_RECONCILE_MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=10_080), global = true)]
    pub reconcile_minutes: u64,
    /// How long a stopping process finishes what it holds.
    #[arg(long, env = "HPTS_DRAIN_SECONDS", default_value_t = 25, global = true)]
    pub drain_seconds: u64,
    /// How long a call waits for its result where it does not say, in milliseconds.
    #[arg(long, env = "HPTS_WAIT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(0..=60_000), global = true)]
    pub wait_ms: u64,
    /// Key set of an outside token issuer, by https (http on loopback); the built-in issuer where unset.
    #[arg(long, env = "HPTS_JWKS_URL", global = true)]
    pub jwks_url: Option<JwksUrl>,
    /// The issuer that tokens must name.
    #[arg(long, env = "HPTS_JWT_ISSUER", default_value = BUILT_IN_ISSUER, global = true)]
    pub jwt_issuer: String,
    /// The audience that tokens must name.
    #[arg(long, env = "HPTS_JWT_AUDIENCE", default_value = "hpts-api", global = true)]
    pub jwt_audience: String,
    /// Certificate chain of the API listener, PEM.
    #[arg(long, env = "HPTS_TLS_CERT", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "HPTS_TLS_KEY", global = true)]
    pub tls_key: Option<PathBuf>,
    /// Certificate authorities whose clients are let in, PEM.
    #[arg(long, env = "HPTS_TLS_CLIENT_CA", global = true)]
    pub tls_client_ca: Option<PathBuf>,
    /// Requests a second that one client may make; no limit where unset.
    #[arg(long, env = "HPTS_RATE_LIMIT", value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub rate_limit: Option<u32>,
    /// Hosts, with commas between, that webhooks may reach although they are not public, also by plain http.
    #[arg(long, env = "HPTS_WEBHOOK_ALLOW", value_delimiter = ',', global = true)]
    pub webhook_allow: Vec<AllowedHost>,
    /// Days of nothing but failures after which a webhook endpoint is disabled.
    #[arg(long, env = "HPTS_WEBHOOK_DISABLE_DAYS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=30), global = true)]
    pub webhook_disable_days: u32,
    /// File with the 32-byte key, in hexadecimal, that seals signing keys and webhook secrets in the store.
    #[arg(long, env = "HPTS_KEY_FILE", global = true)]
    pub key_file: Option<PathBuf>,
    /// What is logged: a level, or a filter as `tracing` reads it.
    #[arg(long, env = "HPTS_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "HPTS_LOG_FORMAT", value_enum, default_value = "json", global = true)]
    pub log_format: LogFormat,
    /// OpenTelemetry collector that spans are sent to, by OTLP over HTTP; none are made where unset.
    #[arg(long, env = "HPTS_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<OtlpEndpoint>,
}

/// Where a process keeps its state and sends its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// `SQLite` file and in-process queue, all in one process.
    Embedded {
        /// The folder of the file.
        data_dir: PathBuf,
    },
    /// PostgreSQL and RabbitMQ.
    Distributed {
        /// The servers' database URL.
        database_url: String,
        /// The owner's database URL.
        migrate_database_url: String,
        /// The broker's URL.
        amqp_url: String,
    },
}

impl Config {
    /// Which deployment the settings describe.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] when only one of database and broker is named.
    pub fn deployment(&self) -> Result<Deployment, ConfigError> {
        match (&self.database_url, &self.amqp_url) {
            (None, None) => Ok(Deployment::Embedded { data_dir: self.data_dir.clone() }),
            (Some(database_url), Some(amqp_url)) => Ok(Deployment::Distributed {
                database_url: database_url.clone(),
                migrate_database_url: self.migrate_database_url.clone().unwrap_or_else(|| database_url.clone()),
                amqp_url: amqp_url.clone(),
            }),
            (Some(_), None) => Err(contradiction("HPTS_DATABASE_URL is set, but HPTS_AMQP_URL is not")),
            (None, Some(_)) => Err(contradiction("HPTS_AMQP_URL is set, but HPTS_DATABASE_URL is not")),
        }
    }

    /// Checks the settings together.
    ///
    /// # Errors
    /// [`ConfigError`] with one line for the operator.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.deployment()?;
        if self.migrate_database_url.is_some() && self.database_url.is_none() {
            return Err(contradiction("HPTS_MIGRATE_DATABASE_URL is set, but HPTS_DATABASE_URL is not"));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(contradiction("HPTS_TLS_CERT and HPTS_TLS_KEY go together"));
        }
        if self.tls_client_ca.is_some() && self.tls_cert.is_none() {
            return Err(contradiction("HPTS_TLS_CLIENT_CA needs HPTS_TLS_CERT"));
        }
        if self.jwks_url.is_some() && self.jwt_issuer == BUILT_IN_ISSUER {
            return Err(contradiction("HPTS_JWKS_URL needs HPTS_JWT_ISSUER, the outside issuer's name in its tokens"));
        }
        if self.jwt_issuer.is_empty() || self.jwt_audience.is_empty() {
            return Err(contradiction("HPTS_JWT_ISSUER and HPTS_JWT_AUDIENCE must not be empty"));
        }
        if MetricsListen::On(self.listen) == self.metrics_listen && self.listen.port() != 0 {
            return Err(contradiction("HPTS_LISTEN and HPTS_METRICS_LISTEN name the same address"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if self.queue_prefix.is_empty() || self.queue_prefix.len() > 64 || !self.queue_prefix.bytes().all(plain) {
            return Err(contradiction("HPTS_QUEUE_PREFIX must be 1 to 64 letters, digits, '.', '_' or '-'"));
        }
        Ok(())
    }

    /// How often the books are reconciled; never by itself where absent.
    #[must_use]
    pub fn reconcile_every(&self) -> Option<Duration> {
        (self.reconcile_minutes > 0).then(|| Duration::from_secs(self.reconcile_minutes.saturating_mul(60)))
    }

    /// What the URL of the API begins with.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// Where webhooks may go.
    #[must_use]
    pub fn webhook_policy(&self) -> TargetPolicy {
        TargetPolicy::allowing(self.webhook_allow.iter().cloned())
    }

    /// How long a webhook endpoint may fail before it is disabled.
    #[must_use]
    pub fn webhook_patience(&self) -> Duration {
        Duration::from_hours(24).saturating_mul(self.webhook_disable_days)
    }

    /// How long a stopping process finishes what it holds.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// The effective settings, one a line, secrets hidden.
    #[must_use]
    pub fn show(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.settings() {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{name}={value}");
        }
        text
    }

    /// The effective settings by variable name, secrets hidden, unset ones empty.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<&'static str, String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let url = |url: &Option<String>| url.as_deref().map(without_password).unwrap_or_default();
        let metrics = match self.metrics_listen {
            MetricsListen::On(address) => address.to_string(),
            MetricsListen::Off => "off".to_owned(),
        };
        BTreeMap::from([
            ("HPTS_LISTEN", self.listen.to_string()),
            ("HPTS_PUBLIC_URL", self.public_url.clone().unwrap_or_default()),
            ("HPTS_METRICS_LISTEN", metrics),
            ("HPTS_DATA_DIR", self.data_dir.display().to_string()),
            ("HPTS_DATABASE_URL", url(&self.database_url)),
            ("HPTS_MIGRATE_DATABASE_URL", url(&self.migrate_database_url)),
            ("HPTS_AMQP_URL", url(&self.amqp_url)),
            ("HPTS_AMQP_DECLARE", word(&self.amqp_declare)),
            ("HPTS_QUEUE_PREFIX", self.queue_prefix.clone()),
            ("HPTS_PARTITIONS", self.partitions.to_string()),
            ("HPTS_LANES", self.lanes.to_string()),
            ("HPTS_DB_POOL", self.db_pool.to_string()),
            ("HPTS_BATCH_MAX", self.batch_max.to_string()),
            ("HPTS_RECONCILE_MINUTES", self.reconcile_minutes.to_string()),
            ("HPTS_DRAIN_SECONDS", self.drain_seconds.to_string()),
            ("HPTS_WAIT_MS", self.wait_ms.to_string()),
            ("HPTS_JWKS_URL", self.jwks_url.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("HPTS_JWT_ISSUER", self.jwt_issuer.clone()),
            ("HPTS_JWT_AUDIENCE", self.jwt_audience.clone()),
            ("HPTS_TLS_CERT", path(&self.tls_cert)),
            ("HPTS_TLS_KEY", path(&self.tls_key)),
            ("HPTS_TLS_CLIENT_CA", path(&self.tls_client_ca)),
            ("HPTS_RATE_LIMIT", self.rate_limit.map(|limit| limit.to_string()).unwrap_or_default()),
            ("HPTS_WEBHOOK_ALLOW", self.webhook_allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
            ("HPTS_WEBHOOK_DISABLE_DAYS", self.webhook_disable_days.to_string()),
            ("HPTS_KEY_FILE", path(&self.key_file)),
            ("HPTS_LOG", self.log.clone()),
            ("HPTS_LOG_FORMAT", word(&self.log_format)),
            ("HPTS_OTLP_ENDPOINT", self.otlp_endpoint.as_ref().map(ToString::to_string).unwrap_or_default()),
        ])
    }
}

fn contradiction(text: &str) -> ConfigError {
    ConfigError::Contradiction(text.to_owned())
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A URL with the password replaced.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    match rest.rsplit_once('@') {
        None => url.to_owned(),
        Some((credentials, place)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{place}")
        }
    }
}

/// What the environment adds to the command line: for each `…_FILE` variable the flag and the file's content.
///
/// # Errors
/// [`ConfigError`] for an unknown `HPTS_…` variable, one set both ways, or an unreadable file.
pub fn arguments_from_files(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<String>, ConfigError> {
    let environment: BTreeMap<String, String> =
        environment.into_iter().filter(|(name, _)| name.starts_with("HPTS_")).collect();
    let known = known_variables();
    let mut arguments = Vec::new();
    for (name, value) in &environment {
        let secret = SECRET_VARIABLES.into_iter().find(|(variable, _)| name.strip_suffix("_FILE") == Some(variable));
        match secret {
            Some((variable, _)) if environment.contains_key(variable) => {
                return Err(ConfigError::Contradiction(format!("{variable} and {name} are both set")));
            }
            Some((variable, flag)) => {
                let text =
                    std::fs::read_to_string(value).map_err(|source| ConfigError::SecretFile { variable, source })?;
                arguments.extend([flag.to_owned(), text.trim_end().to_owned()]);
            }
            None if known.contains(name) => {}
            None => return Err(ConfigError::Unknown(name.clone())),
        }
    }
    Ok(arguments)
}

fn known_variables() -> Vec<String> {
    let command = <Config as Args>::augment_args(clap::Command::new("hpts"));
    let ours = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    ours.chain(OTHER_VARIABLES).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let command = <Config as Args>::augment_args(clap::Command::new("hpts"));
        let matches = command.get_matches_from([&["hpts"], arguments].concat());
        <Config as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_deployment_needs_both_servers_or_none() {
        assert!(matches!(config(&[]).deployment(), Ok(Deployment::Embedded { .. })));
        assert!(config(&["--database-url", "postgres://x/y"]).check().is_err());
        assert!(config(&["--amqp-url", "amqp://x"]).check().is_err());
        let both = config(&["--database-url", "postgres://u:secret@h/d", "--amqp-url", "amqp://u:secret@h"]);
        assert!(both.check().is_ok());
        assert!(!both.show().contains("secret"), "{}", both.show());
        assert!(both.show().contains("HPTS_DATABASE_URL=postgres://u:***@h/d"));
    }

    #[test]
    fn contradictions_stop_the_start() {
        for bad in [
            &["--tls-cert", "a.pem"][..],
            &["--tls-client-ca", "a.pem"],
            &["--listen", "127.0.0.1:9464"],
            &["--queue-prefix", "a b"],
            &["--migrate-database-url", "postgres://x/y"],
            &["--jwks-url", "https://login.example.com/keys"],
            &["--jwt-audience", ""],
        ] {
            assert!(config(bad).check().is_err(), "{bad:?}");
        }
        let outside = ["--jwks-url", "https://login.example.com/keys", "--jwt-issuer", "https://login.example.com/"];
        assert!(config(&outside).check().is_ok());
    }

    #[test]
    fn our_own_files_name_no_unknown_variable() {
        let files = [
            include_str!("../../docker-compose.yml"),
            include_str!("../../Dockerfile"),
            include_str!("../../scripts/contract"),
            include_str!("../../scripts/services"),
            include_str!("../../scripts/test"),
            include_str!("../../tests/contract/quickstart.py"),
        ];
        let words = files.into_iter().flat_map(|file| file.split(|c: char| !c.is_ascii_uppercase() && c != '_'));
        for name in words.filter(|word| word.starts_with("HPTS_") && !word.ends_with('_')) {
            assert!(arguments_from_files([(name.to_owned(), "x".to_owned())]).is_ok(), "{name}");
        }
    }

    #[test]
    fn unknown_variables_are_named() {
        let unknown = arguments_from_files([("HPTS_LISTN".to_owned(), "x".to_owned())]);
        assert_eq!(unknown.unwrap_err().to_string(), "unknown setting HPTS_LISTN in the environment");
        assert!(arguments_from_files([("HPTS_LISTEN".to_owned(), "x".to_owned())]).unwrap().is_empty());
        let both = [("HPTS_AMQP_URL", "a"), ("HPTS_AMQP_URL_FILE", "b")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert!(arguments_from_files(both).is_err());
    }
}
