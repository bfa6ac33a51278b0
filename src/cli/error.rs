//! Owns why a command failed, as one line for an operator.

use crate::api::auth::SecretError;
use crate::broker::BrokerError;
use crate::cli::api_client::ClientError;
use crate::cli::bench::BenchError;
use crate::cli::import::ImportError;
use crate::runtime::config::ConfigError;
use crate::runtime::telemetry::{TelemetryError, chain};
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A listener, a file or a folder.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another server works on the same data.
    #[error("another server is using {0}")]
    InUse(String),
    /// The operator asked for something that cannot be.
    #[error("{0}")]
    Refused(String),
    /// The books have problems; they were printed.
    #[error("the books have {0} problems")]
    Verify(usize),
    /// A client's secret could not be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A call to the API.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file that was to be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A measurement.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// Output as JSON.
    #[error("cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl CliError {
    /// An I/O failure with what was tried.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The one line, causes included.
    #[must_use]
    pub fn line(&self) -> String {
        chain(self)
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bench(error) => error.exit_code(),
            Self::Import(error) => error.exit_code(),
            Self::Config(_) => 2,
            Self::Telemetry(_)
            | Self::Store(_)
            | Self::Broker(_)
            | Self::Io { .. }
            | Self::InUse(_)
            | Self::Refused(_)
            | Self::Verify(_)
            | Self::Secret(_)
            | Self::Client(_)
            | Self::Json(_) => 1,
        }
    }
}
