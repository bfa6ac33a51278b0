//! Owns the step from a CSV record to a payment in JSON: which column is which field, and how a record that is no
//! payment is still sent, so that the server refuses it under its number and nothing is silently left out.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::import::records::Record;
use crate::core::money::{Currency, Minor};

/// A field of a payment that a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    IdempotencyKey,
    LoanId,
    BorrowerId,
    AmountMinor,
    /// The amount in major units.
    Amount,
    Currency,
    EffectiveAt,
    SourceMethod,
    ExternalRef,
}

impl Field {
    const ALL: [Self; 9] = [
        Self::IdempotencyKey,
        Self::LoanId,
        Self::BorrowerId,
        Self::AmountMinor,
        Self::Amount,
        Self::Currency,
        Self::EffectiveAt,
        Self::SourceMethod,
        Self::ExternalRef,
    ];
    /// Those that a payment cannot do without, amount and key aside.
    const REQUIRED: [Self; 5] = [Self::LoanId, Self::BorrowerId, Self::Currency, Self::EffectiveAt, Self::SourceMethod];

    /// The contract's name; `amount` is ours.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::IdempotencyKey => "idempotency_key",
            Self::LoanId => "loan_id",
            Self::BorrowerId => "borrower_id",
            Self::AmountMinor => "amount_minor",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::EffectiveAt => "effective_at",
            Self::SourceMethod => "source_method",
            Self::ExternalRef => "external_ref",
        }
    }

    /// How else its column is often called; letters and digits only.
    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::IdempotencyKey => &["key", "paymentkey"],
            Self::LoanId => &["loan"],
            Self::BorrowerId => &["borrower"],
            Self::AmountMinor => &["minoramount", "amountinminorunits", "minorunits"],
            Self::Amount => &["paymentamount", "amountmajor"],
            Self::Currency => &["currencycode", "ccy"],
            Self::EffectiveAt => &["effectivedate", "paymentdate", "valuedate"],
            Self::SourceMethod => &["method", "paymentmethod"],
            Self::ExternalRef => &["externalreference", "reference"],
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The field that a column of this header holds. `Loan ID`, `loan-id` and `loanId` are all `loan_id`.
    fn of_header(header: &str) -> Option<Self> {
        let squeezed = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let header = squeezed(header);
        let is_called = |field: &Self| squeezed(field.name()) == header || field.spellings().contains(&header.as_str());
        Self::ALL.into_iter().find(is_called)
    }
}

/// `FIELD=TEXT` of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldIs {
    field: Field,
    text: String,
}

impl FieldIs {
    fn parse(argument: &str) -> Result<Self, String> {
        let (name, text) = argument.split_once('=').ok_or("must be FIELD=TEXT")?;
        let field =
            Field::parse(name).ok_or_else(|| format!("the fields are {}", Field::ALL.map(Field::name).join(", ")))?;
        Ok(Self { field, text: text.to_owned() })
    }
}

/// How the columns of a CSV file are read.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct CsvArgs {
    /// The column that holds a field, where its header is not the field's name or usual; repeatable.
    #[arg(long = "column", value_name = "FIELD=HEADER", value_parser = FieldIs::parse)]
    columns: Vec<FieldIs>,
    /// A field that is the same in all records and has no column; repeatable.
    #[arg(long = "value", value_name = "FIELD=TEXT", value_parser = FieldIs::parse)]
    values: Vec<FieldIs>,
    /// Take the column `amount` in major units, such as 888.49. Never rounded.
    #[arg(long)]
    amount_major: bool,
    /// Leave out columns that are no field of a payment. Without this they stop the import.
    #[arg(long)]
    ignore_other_columns: bool,
}

impl CsvArgs {
    /// Takes whatever columns there are.
    #[cfg(test)]
    pub(super) fn all_columns() -> Self {
        Self { ignore_other_columns: true, ..Self::default() }
    }

    /// Whether none of it is given.
    pub(super) const fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.values.is_empty() && !self.amount_major && !self.ignore_other_columns
    }
}

/// Why the columns of a file cannot be read as payments.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// No header.
    #[error("the file has no header")]
    Empty,
    /// Not text.
    #[error("the header is not UTF-8")]
    NotText,
    /// A column that was asked for.
    #[error("there is no column {header:?}; there are {known}")]
    Unknown {
        /// As it was asked for.
        header: String,
        /// What there is.
        known: String,
    },
    /// Two for one.
    #[error("{0} has two sources")]
    Twice(&'static str),
    /// Columns without a field.
    #[error("no field of a payment: {0}; name them with --column FIELD=HEADER or say --ignore-other-columns")]
    Others(String),
    /// Fields without a column.
    #[error("no column for {0}; name them with --column FIELD=HEADER or give them with --value FIELD=TEXT")]
    Missing(String),
    /// Major or minor units?
    #[error("{0:?} may hold major or minor units: say --amount-major, or --column amount_minor={0}")]
    Unit(String),
    /// `--amount-major` for nothing.
    #[error("--amount-major needs a column amount")]
    NoMajor,
    /// One key for all.
    #[error("idempotency_key cannot be the same in all records")]
    OneKey,
}

/// Where a field's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Cell(usize),
    Fixed(String),
}

/// Which cell is which field.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    sources: BTreeMap<Field, Source>,
    /// How many cells each record has.
    cells: usize,
    headers: Vec<String>,
}

impl Columns {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ColumnsError`] where it is not clear what every column means.
    pub(super) fn of(header: Option<Record<'_>>, arguments: &CsvArgs) -> Result<Self, ColumnsError> {
        let header = header.ok_or(ColumnsError::Empty)?;
        let headers: Option<Vec<String>> =
            header.cells().map(|cell| Some(std::str::from_utf8(cell).ok()?.trim().to_owned())).collect();
        let headers = headers.ok_or(ColumnsError::NotText)?;
        let mut columns = Self { sources: BTreeMap::new(), cells: headers.len(), headers };
        let mut named = Vec::new();
        for FieldIs { field, text } in &arguments.columns {
            let at = columns.place(text)?;
            named.push(at);
            columns.add(*field, Source::Cell(at))?;
        }
        let mut others = Vec::new();
        for (at, header) in columns.headers.clone().into_iter().enumerate() {
            match Field::of_header(&header) {
                _ if named.contains(&at) => {}
                Some(field) if !columns.sources.contains_key(&field) => columns.add(field, Source::Cell(at))?,
                Some(field) if named.iter().all(|at| columns.sources.get(&field) != Some(&Source::Cell(*at))) => {
                    return Err(ColumnsError::Twice(field.name()));
                }
                Some(_) | None => others.push(format!("{header:?}")),
            }
        }
        for FieldIs { field, text } in &arguments.values {
            columns.add(*field, Source::Fixed(text.clone()))?;
        }
        columns.check_amount(arguments)?;
        if !others.is_empty() && !arguments.ignore_other_columns {
            return Err(ColumnsError::Others(others.join(", ")));
        }
        columns.check_complete()?;
        Ok(columns)
    }

    fn place(&self, header: &str) -> Result<usize, ColumnsError> {
        let places: Vec<usize> =
            self.headers.iter().enumerate().filter(|(_, known)| *known == header).map(|(at, _)| at).collect();
        match places.as_slice() {
            [at] => Ok(*at),
            _ => Err(ColumnsError::Unknown { header: header.to_owned(), known: self.headers.join(", ") }),
        }
    }

    fn add(&mut self, field: Field, source: Source) -> Result<(), ColumnsError> {
        if field == Field::IdempotencyKey && matches!(source, Source::Fixed(_)) {
            return Err(ColumnsError::OneKey);
        }
        match self.sources.insert(field, source) {
            None => Ok(()),
            Some(_) => Err(ColumnsError::Twice(field.name())),
        }
    }

    fn check_amount(&self, arguments: &CsvArgs) -> Result<(), ColumnsError> {
        match (self.sources.get(&Field::AmountMinor), self.sources.get(&Field::Amount)) {
            (Some(_), Some(_)) => Err(ColumnsError::Twice("the amount")),
            (_, None) if arguments.amount_major => Err(ColumnsError::NoMajor),
            (None, Some(source)) if !arguments.amount_major => Err(ColumnsError::Unit(self.shown(source))),
            (_, _) => Ok(()),
        }
    }

    fn check_complete(&self) -> Result<(), ColumnsError> {
        let lacks = |field: &Field| !self.sources.contains_key(field);
        let mut missing: Vec<&str> = Field::REQUIRED.into_iter().filter(lacks).map(Field::name).collect();
        if lacks(&Field::AmountMinor) && lacks(&Field::Amount) {
            missing.push(Field::AmountMinor.name());
        }
        if missing.is_empty() { Ok(()) } else { Err(ColumnsError::Missing(missing.join(", "))) }
    }

    fn shown(&self, source: &Source) -> String {
        match source {
            Source::Cell(at) => self.headers.get(*at).cloned().unwrap_or_default(),
            Source::Fixed(text) => text.clone(),
        }
    }

    /// Whether each record brings its key.
    pub(super) fn have_keys(&self) -> bool {
        self.sources.contains_key(&Field::IdempotencyKey)
    }

    /// What is read from where, for people; also what tells one reading of a file from another.
    pub(super) fn describe(&self) -> String {
        let described = self.sources.iter().map(|(field, source)| match source {
            Source::Cell(at) => format!("{} is column {} {:?}", field.name(), at.saturating_add(1), self.shown(source)),
            Source::Fixed(text) => format!("{} is always {text:?}", field.name()),
        });
        described.collect::<Vec<_>>().join(", ")
    }

    /// Writes a record as one line of JSON. What cannot be read as a payment becomes a line that the server refuses:
    /// it has a member named for what is wrong, which is a field of nothing.
    pub(super) fn write_line(&self, record: Record<'_>, made_key: &str, line: &mut Vec<u8>) {
        let mut members: Vec<(String, String)> = Vec::new();
        let mut faults: Vec<String> = Vec::new();
        if record.len() == self.cells {
            self.read(record, &mut members, &mut faults);
        } else {
            faults.push(format!("the record has {} cells, the header {}", record.len(), self.cells));
        }
        if !self.have_keys() && faults.is_empty() {
            members.push((Field::IdempotencyKey.name().to_owned(), made_key.to_owned()));
        }
        members.extend(faults.into_iter().map(|fault| (fault, String::new())));
        let members: serde_json::Map<String, serde_json::Value> =
            members.into_iter().map(|(name, text)| (name, text.into())).collect();
        line.extend_from_slice(serde_json::Value::Object(members).to_string().as_bytes());
        line.push(b'\n');
    }

    fn read(&self, record: Record<'_>, members: &mut Vec<(String, String)>, faults: &mut Vec<String>) {
        for (field, source) in &self.sources {
            let text = match source {
                Source::Fixed(text) => text,
                Source::Cell(at) => {
                    let Ok(text) = std::str::from_utf8(record.cell(*at).unwrap_or_default()) else {
                        faults.push(format!("{} is not UTF-8", field.name()));
                        continue;
                    };
                    text
                }
            };
            if *field == Field::Amount {
                match self.minor(text, record) {
                    Ok(minor) => members.push((Field::AmountMinor.name().to_owned(), minor.to_string())),
                    Err(fault) => faults.push(fault),
                }
            } else if !text.is_empty() {
                members.push((field.name().to_owned(), text.to_owned()));
            }
        }
    }

    /// An amount in major units as the contract wants it.
    fn minor(&self, text: &str, record: Record<'_>) -> Result<Minor, String> {
        let currency = match self.sources.get(&Field::Currency) {
            Some(Source::Fixed(text)) => Some(text.as_str()),
            Some(Source::Cell(at)) => record.cell(*at).and_then(|cell| std::str::from_utf8(cell).ok()),
            None => None,
        };
        let currency = currency.and_then(|code| Currency::parse(code).ok());
        let currency = currency.ok_or_else(|| "amount cannot be read without a currency".to_owned())?;
        Minor::parse_major(text, currency).map_err(|error| format!("amount {error}"))
    }
}

#[cfg(test)]
mod tests;
