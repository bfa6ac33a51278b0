//! Owns the figures of a case, such as the raw limit or a load of batches: those of each run, their medians, and how
//! they compare with another case of the same measurement.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::cli::bench::latency::{Latencies, Latency};
use crate::cli::bench::processes::Cost;

/// What one run of a case gave.
#[derive(Clone, Debug)]
pub(super) struct CaseRun {
    /// Payments that are posted.
    pub(super) payments: u64,
    /// From the first byte sent to the last payment posted.
    pub(super) elapsed: Duration,
    /// How long acceptances took, where they are apart.
    pub(super) accept: Option<Latencies>,
    /// How long postings took.
    pub(super) post: Option<Latencies>,
    /// Bytes of write-ahead log meanwhile, where the database could be asked.
    pub(super) wal_bytes: Option<u64>,
    /// What processes cost meanwhile.
    pub(super) costs: Vec<Cost>,
    /// What spoils the run.
    pub(super) faults: Vec<String>,
}

/// The figures of one run, or the medians of many. Times in the unit their name ends in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    payments: u64,
    elapsed_ms: u64,
    /// Payments a second.
    pub(super) rate_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_bytes_per_payment: Option<u64>,
    /// What processes cost.
    pub(super) processes: Vec<Cost>,
}

/// One run as it is told.
#[derive(Clone, Debug, Serialize)]
struct RunFigures {
    #[serde(flatten)]
    figures: Figures,
    faults: Vec<String>,
}

/// A case: its runs, their medians, its ratios.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Case {
    /// What is measured.
    pub(super) name: String,
    /// Whether every run was good.
    pub(super) good: bool,
    /// The middle of each figure over the runs; of an even number of runs, the upper one of the two.
    pub(super) median: Figures,
    /// The rate as a part of the raw limit's: the middle over the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_limit: Option<Ratio>,
    /// The rate as a multiple of the usual worker's: the middle over the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_naive: Option<Ratio>,
    runs: Vec<RunFigures>,
}

/// How often one rate goes into another, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ratio(u64);

impl Ratio {
    /// `part` over `whole`; `None` over nothing.
    pub(super) fn of(part: u64, whole: u64) -> Option<Self> {
        part.saturating_mul(1000).checked_div(whole).map(Self)
    }
}

impl Display for Ratio {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0.div_euclid(1000), self.0.rem_euclid(1000));
        f.pad(&format!("{whole}.{part:03}"))
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Three decimals always read back as a number.
        serializer.serialize_f64(self.to_string().parse().unwrap_or(f64::NAN))
    }
}

impl From<&CaseRun> for Figures {
    fn from(run: &CaseRun) -> Self {
        Self {
            payments: run.payments,
            elapsed_ms: u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX),
            rate_per_second: rate(run.payments, run.elapsed),
            accept: run.accept.as_ref().and_then(Latencies::summary),
            post: run.post.as_ref().and_then(Latencies::summary),
            wal_bytes_per_payment: run.wal_bytes.and_then(|bytes| bytes.checked_div(run.payments)),
            processes: run.costs.clone(),
        }
    }
}

impl Case {
    /// Sums up the runs of a case.
    pub(super) fn new(name: impl Into<String>, runs: &[CaseRun]) -> Self {
        let told = runs.iter().map(|run| RunFigures { figures: Figures::from(run), faults: run.faults.clone() });
        let runs: Vec<RunFigures> = told.collect();
        let good = !runs.is_empty() && runs.iter().all(|run| run.faults.is_empty() && run.figures.payments > 0);
        let median = median_of(&runs.iter().map(|run| &run.figures).collect::<Vec<_>>());
        Self { name: name.into(), good, median, of_limit: None, of_naive: None, runs }
    }

    /// Compares each run with the same run of the other cases: what they share of the noise cancels out.
    pub(super) fn compared(self, limit: Option<&Self>, naive: Option<&Self>) -> Self {
        let (of_limit, of_naive) = (self.ratio_to(limit), self.ratio_to(naive));
        Self { of_limit, of_naive, ..self }
    }

    /// The middle over the runs of their rates' ratios.
    pub(super) fn ratio_to(&self, other: Option<&Self>) -> Option<Ratio> {
        let pairs = self.runs.iter().zip(&other?.runs);
        let ratios =
            pairs.filter_map(|(ours, theirs)| Ratio::of(ours.figures.rate_per_second, theirs.figures.rate_per_second));
        middle_of(ratios)
    }

    /// What spoils the case, with the number of the run.
    pub(super) fn faults(&self) -> impl Iterator<Item = String> {
        let runs = (1_u32..).zip(&self.runs);
        runs.flat_map(move |(number, run)| {
            run.faults.iter().map(move |fault| format!("{} {number}: {fault}", self.name))
        })
    }

    /// Rates of the slowest and the fastest run.
    fn spread(&self) -> String {
        let rates = || self.runs.iter().map(|run| run.figures.rate_per_second);
        format!("{} to {}", rates().min().unwrap_or(0), rates().max().unwrap_or(0))
    }
}

/// Payments a second.
pub(super) fn rate(payments: u64, elapsed: Duration) -> u64 {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    payments.saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
}

/// Over the columns of a [`Case`].
pub(super) const HEADINGS: [&str; 2] = [
    "                                             ------- accept -----------  -------- post ------------       WAL       of      times",
    "case            payments    rate/s  of runs              p50       p99       max       p50       p99       max   payment    limit      naive",
];

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, good, median, of_limit, of_naive, .. } = self;
        write!(f, "{name:<14}{:>10}{:>10}  {:<16}", median.payments, median.rate_per_second, self.spread())?;
        for latency in [median.accept, median.post] {
            match latency {
                Some(latency) => write!(f, "{latency}")?,
                None => write!(f, "{:>10}{:>10}{:>10}", "-", "-", "-")?,
            }
        }
        let wal = median.wal_bytes_per_payment.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes} B"));
        let [limit, naive] =
            [of_limit, of_naive].map(|ratio| ratio.map_or_else(|| "-".to_owned(), |it| it.to_string()));
        write!(f, "{wal:>10}{limit:>9}{naive:>11}{}", if *good { "" } else { "  not good" })
    }
}

fn median_of(runs: &[&Figures]) -> Figures {
    let middle = |figure: fn(&Figures) -> u64| middle_of(runs.iter().map(|run| figure(run))).unwrap_or(0);
    Figures {
        payments: middle(|run| run.payments),
        elapsed_ms: middle(|run| run.elapsed_ms),
        rate_per_second: middle(|run| run.rate_per_second),
        accept: median_latency(&runs.iter().filter_map(|run| run.accept).collect::<Vec<_>>()),
        post: median_latency(&runs.iter().filter_map(|run| run.post).collect::<Vec<_>>()),
        wal_bytes_per_payment: middle_of(runs.iter().filter_map(|run| run.wal_bytes_per_payment)),
        processes: Cost::medians(&runs.iter().map(|run| run.processes.as_slice()).collect::<Vec<_>>()),
    }
}

fn median_latency(latencies: &[Latency]) -> Option<Latency> {
    let middle = |figure: fn(&Latency) -> u64| middle_of(latencies.iter().map(figure));
    Some(Latency {
        p50_us: middle(|latency| latency.p50_us)?,
        p99_us: middle(|latency| latency.p99_us)?,
        max_us: middle(|latency| latency.max_us)?,
    })
}

/// The middle value; of an even number the upper one of the two.
pub(super) fn middle_of<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() >> 1).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run of 1000 payments in so many milliseconds.
    pub(in crate::cli::bench) fn run(millis: u64) -> CaseRun {
        let mut post = Latencies::new().unwrap();
        post.record(Duration::from_millis(millis));
        CaseRun {
            payments: 1000,
            elapsed: Duration::from_millis(millis),
            accept: None,
            post: Some(post),
            wal_bytes: Some(1_500_000),
            costs: vec![],
            faults: vec![],
        }
    }

    #[test]
    fn the_middle_is_the_upper_one_of_two() {
        assert_eq!(middle_of([3, 1, 2].into_iter()), Some(2));
        assert_eq!(middle_of([4, 1, 2, 3].into_iter()), Some(3));
        assert_eq!(middle_of(std::iter::empty::<u64>()), None);
    }

    #[test]
    fn a_case_tells_the_median_of_its_runs_and_what_spoils_it() {
        let case = Case::new("limit", &[run(100), run(50), run(20)]);
        assert!(case.good);
        assert_eq!((case.median.rate_per_second, case.median.wal_bytes_per_payment), (20_000, Some(1500)));
        assert!(case.median.post.unwrap().p50_us.abs_diff(50_000) < 100);
        assert_eq!(case.spread(), "10000 to 50000");
        let spoiled = Case::new("limit", &[run(100), CaseRun { faults: vec!["503: 2".to_owned()], ..run(100) }]);
        assert_eq!((spoiled.good, spoiled.faults().collect::<Vec<_>>()), (false, vec!["limit 2: 503: 2".to_owned()]));
        assert!(!Case::new("nothing", &[]).good);
        assert!(!Case::new("nothing", &[CaseRun { payments: 0, ..run(1) }]).good);
    }

    #[test]
    fn ratios_are_those_of_the_same_run() {
        // Over all runs the medians are 20 and 50; run by run the ratios are 0.5, 0.4 and 0.1.
        let limit = Case::new("limit", &[run(10), run(20), run(20)]);
        let batch = Case::new("batch", &[run(20), run(50), run(200)]).compared(Some(&limit), None);
        assert_eq!((batch.of_limit, batch.of_naive), (Ratio::of(4, 10), None));
        assert_eq!(Ratio::of(1, 0), None);
        assert_eq!(serde_json::to_string(&Ratio::of(5, 8)).unwrap(), "0.625");
        assert_eq!(Ratio::of(21, 2).unwrap().to_string(), "10.500");
    }
}
