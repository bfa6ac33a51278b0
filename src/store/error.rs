//! Owns what can go wrong below the store's contract, told apart by what a caller does about it.

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or broke off: try again later; a write may or may not have happened.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing was written and trying again may work: deadlock, serialisation failure, lock or statement timeout.
    #[error("the database asks to try again")]
    Retry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The transaction rested between two statements for longer than the database allows, which has ended it. Nothing was
    /// written, and the same may take as long again: do less at once.
    #[error("the transaction rested for longer than the database allows")]
    OutOfTime(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refused a row for its content: nothing was written, and the same rows will be refused again.
    #[error("the database refused the data ({constraint})")]
    Data {
        /// The constraint or SQLSTATE that refused it.
        constraint: String,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row we do not believe, or a statement that is wrong: our bug. Stop loudly.
    #[error("the store holds something it cannot: {0}")]
    Broken(String),
    /// The schema is not this release's.
    #[error("the database schema is not this release's; run `hpts migrate`")]
    WrongSchema,
}

impl StoreError {
    /// Whether the same call may work later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Retry(_) | Self::OutOfTime(_) => true,
            Self::Data { .. } | Self::Broken(_) | Self::WrongSchema => false,
        }
    }
}
