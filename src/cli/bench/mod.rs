//! Owns `hpts bench`: load against running servers, as an outside client would bring it.
//!
//! The generator knows the HTTP contract and nothing of our insides. It speaks to loopback addresses only, so that a
//! slip of the hand never loads somebody else's system.

#![expect(clippy::print_stdout, reason = "a measurement answers on stdout")]

mod link;
mod load;
mod loans;
mod machine;
mod processes;
mod report;
mod setup;
mod single;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod token;

pub use link::LinkError;
pub use single::{BenchSingle, run};

/// Why there is no good measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An address we do not load.
    #[error("{url}: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that cannot be sent in a header.
    #[error("{0} cannot be sent in a header")]
    Header(&'static str),
    /// The connection failed where one failure is enough.
    #[error("no answer from {address}")]
    Link {
        /// Whose.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// The token endpoint refused us.
    #[error("no token: {status} {answer}")]
    Token {
        /// Its status.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// A loan was not registered.
    #[error("loan {index} was not registered: {status} {answer}")]
    Setup {
        /// Its number.
        index: u64,
        /// The status.
        status: u16,
        /// What the answer said.
        answer: String,
    },
    /// A process that was to be watched.
    #[error("process {name} ({pid}) cannot be read")]
    Process {
        /// As it was given.
        name: String,
        /// As it was given.
        pid: u32,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A task of the generator died: our bug.
    #[error("the generator failed")]
    Generator(#[from] tokio::task::JoinError),
    /// The histogram refused a value or a merge: our bug.
    #[error("a latency was not recorded")]
    Histogram,
    /// The run ended and was printed, but not every answer was 201.
    #[error("the run is not good: not every answer was 201")]
    NotGood,
}

impl BenchError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotGood => 3,
            Self::Url { .. } => 2,
            Self::Header(_)
            | Self::Link { .. }
            | Self::Token { .. }
            | Self::Setup { .. }
            | Self::Process { .. }
            | Self::Generator(_)
            | Self::Histogram => 1,
        }
    }
}
