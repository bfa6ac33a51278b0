//! Owns the end of a measurement: the proof of the books, the report, and where it goes.

use std::fmt::{self, Display, Formatter};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::books::Books;
use crate::cli::bench::figures::{Case, HEADINGS};
use crate::cli::bench::latency::short;
use crate::cli::bench::machine::Machine;
use crate::cli::bench::processes::{Named, Watch};

/// In place of a file: the terminal.
const STDOUT: &str = "-";

/// How a measurement is repeated and told.
#[derive(Args, Clone, Debug)]
pub(super) struct Telling {
    /// How many runs; their medians are told.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) repeat: u32,
    /// A process whose CPU time and memory are told as well; repeatable.
    #[arg(long = "pid", value_name = "NAME=PID")]
    pids: Vec<Named>,
    /// The same of a process with all that descend from it, such as a database server; repeatable.
    #[arg(long = "pid-tree", value_name = "NAME=PID")]
    pid_trees: Vec<Named>,
    /// Answer as JSON, into a file where one is named.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
}

impl Telling {
    /// The processes to watch; each of them has to be there.
    pub(super) fn watch(&self) -> Result<Watch, BenchError> {
        let watch = Watch::new(&self.pids, &self.pid_trees);
        watch.sample()?;
        Ok(watch)
    }

    /// Tells a report: for people on the terminal, as JSON where it was asked for.
    ///
    /// # Errors
    /// [`BenchError::NotGood`] or [`BenchError::Books`] once it is told, for a measurement that does not count.
    pub(super) fn tell<R: Serialize + Display + Told>(&self, report: &R) -> Result<(), BenchError> {
        let json = || serde_json::to_string_pretty(report).map_err(BenchError::Json);
        match self.json.as_deref() {
            Some(path) if path == Path::new(STDOUT) => println!("{}", json()?),
            Some(path) => {
                print!("{report}");
                write_file(path, json()?.as_bytes())?;
            }
            None => print!("{report}"),
        }
        report.verdict()
    }
}

/// Writes a file whole.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|source| BenchError::File { path: path.display().to_string(), source })
}

/// A report that can say whether it counts.
pub(super) trait Told {
    /// An error where it does not.
    fn verdict(&self) -> Result<(), BenchError>;
}

/// What was asked for, in the order it is told.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Settings(serde_json::Map<String, serde_json::Value>);

impl Settings {
    /// One more.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Many more.
    #[must_use]
    pub(super) fn and(mut self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        self.0.extend(more.into_iter().map(|(name, value)| (name, value.into())));
        self
    }
}

impl Settings {
    /// Each by itself.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name} {text}"),
            None => format!("{name} {value}"),
        })
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join(", "))
    }
}

/// Everything a measurement of cases says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    measurement: &'static str,
    /// Whether every run was good and the books are in order.
    pub(super) good: bool,
    machine: Machine,
    settings: Settings,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Settings>,
    /// What was measured.
    pub(super) cases: Vec<Case>,
    books: Books,
    /// What one measurement alone finds.
    findings: Settings,
}

impl Report {
    /// Sums up the cases of a measurement.
    pub(super) fn new(measurement: &'static str, settings: Settings, cases: Vec<Case>, books: Books) -> Self {
        let good = !cases.is_empty() && cases.iter().all(|case| case.good) && !books.is_broken();
        let (machine, database, findings) = (Machine::read(), None, Settings::default());
        Self { measurement, good, machine, settings, database, cases, books, findings }
    }

    /// The same with the database's settings.
    #[must_use]
    pub(super) fn on(self, database: Option<Settings>) -> Self {
        Self { database, ..self }
    }

    /// The same with more to say.
    #[must_use]
    pub(super) fn finding(self, findings: Settings) -> Self {
        Self { findings, ..self }
    }
}

impl Told for Report {
    fn verdict(&self) -> Result<(), BenchError> {
        match (self.good, self.books.is_broken()) {
            (_, true) => Err(BenchError::Books),
            (true, false) => Ok(()),
            (false, false) => Err(BenchError::NotGood),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine   {}", self.machine)?;
        if let Some(database) = &self.database {
            writeln!(f, "database  {database}")?;
        }
        writeln!(f, "settings  {}", self.settings)?;
        writeln!(f)?;
        for heading in HEADINGS {
            writeln!(f, "{heading}")?;
        }
        for case in &self.cases {
            writeln!(f, "{case}")?;
        }
        self.write_processes(f)?;
        writeln!(f)?;
        for fault in self.cases.iter().flat_map(Case::faults) {
            writeln!(f, "{fault}")?;
        }
        for finding in self.findings.lines() {
            writeln!(f, "{finding}")?;
        }
        writeln!(f, "books     {}", self.books)?;
        writeln!(f, "{}", if self.good { "good" } else { "not good" })
    }
}

impl Report {
    /// A row for each process, a pair of columns for each case: what a payment costs it, and its memory at the end.
    fn write_processes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        write!(f, "{:<14}", "cpu/payment")?;
        for case in &self.cases {
            write!(f, "{:>14}", case.name)?;
        }
        writeln!(f)?;
        let names = self.cases.first().map_or([].as_slice(), |case| case.median.processes.as_slice());
        for (index, process) in names.iter().enumerate() {
            write!(f, "{:<14}", process.name)?;
            for case in &self.cases {
                let cost = case.median.processes.get(index);
                let told = cost
                    .map_or_else(String::new, |cost| short(std::time::Duration::from_nanos(cost.cpu_ns_per_payment)));
                write!(f, "{told:>14}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::books::Proof;
    use crate::cli::bench::figures::tests::run;

    fn books(problems: Vec<String>) -> Books {
        let proof = Proof { events: 2000, posted: 2000, rejected: 0, parked: 0, held: 0, in_flight: 0, problems };
        Books::Looked(proof)
    }

    #[test]
    fn the_table_says_what_a_reader_needs() {
        let limit = Case::new("limit", &[run(20), run(20)]);
        let naive = Case::new("naive 8", &[run(500), run(500)]).compared(Some(&limit), None);
        let batch = Case::new("batch", &[run(40), run(50)]).compared(Some(&limit), Some(&naive));
        let settings = Settings::default().with("rows", 1000).with("url", "http://127.0.0.1:8080");
        let report = Report::new("all", settings, vec![limit, batch, naive], books(vec![]));
        assert!(report.good);
        assert!(report.verdict().is_ok());
        let told = report.finding(Settings::default().with("backlog_max", 12000)).to_string();
        let told: Vec<&str> = told.lines().skip(1).map(str::trim_end).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        settings  rows 1000, url http://127.0.0.1:8080

                                                     ------- accept -----------  -------- post ------------       WAL       of      times
        case            payments    rate/s  of runs              p50       p99       max       p50       p99       max   payment    limit      naive
        limit               1000     50000  50000 to 50000           -         -         -   20.02ms   20.02ms   20.02ms    1500 B        -          -
        batch               1000     25000  20000 to 25000           -         -         -   50.02ms   50.02ms   50.02ms    1500 B    0.500     12.500
        naive 8             1000      2000  2000 to 2000             -         -         -  500.22ms  500.22ms  500.22ms    1500 B    0.040          -

        cpu/payment            limit         batch       naive 8

        backlog_max 12000
        books     proved: 2000 events, 2000 posted, 0 rejected
        good
        ");
    }

    #[test]
    fn no_run_is_good_whose_books_are_not() {
        let cases = vec![Case::new("limit", &[run(20)])];
        let report = Report::new("limit", Settings::default(), cases, books(vec!["chain: loan 7".to_owned()]));
        assert!(!report.good);
        assert!(matches!(report.verdict(), Err(BenchError::Books)));
        assert!(report.to_string().contains("chain: loan 7"), "{report}");
        assert_eq!(BenchError::Books.exit_code(), 3);
    }
}
