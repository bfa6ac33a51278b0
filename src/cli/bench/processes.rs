//! Owns what processes cost: CPU time and resident memory, read from `/proc` before and after a run.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::cli::bench::BenchError;
use crate::cli::bench::figures::middle_of;
use crate::cli::bench::latency::short;
use crate::cli::bench::machine::kib_of;

/// Milliseconds in a tick of `/proc/PID/stat`: Linux reports 100 ticks a second to programs on every architecture.
const TICK_MS: u64 = 10;
/// Where the fields of `/proc/PID/stat` stand after the closing bracket of the name.
const PARENT: usize = 1;
const TICKS_OWN: [usize; 2] = [11, 12];
const TICKS_OF_ENDED_CHILDREN: [usize; 2] = [13, 14];

/// A text is not `NAME=PID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be NAME=PID")]
pub(super) struct NotAProcess;

/// A process under a name of the operator's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    name: String,
    pid: u32,
}

impl FromStr for Named {
    type Err = NotAProcess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, pid) = text.split_once('=').ok_or(NotAProcess)?;
        let pid = pid.parse().map_err(|_| NotAProcess)?;
        if name.is_empty() { Err(NotAProcess) } else { Ok(Self { name: name.to_owned(), pid }) }
    }
}

/// Whether a process counts alone or with all that descend from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Alone,
    Tree,
}

/// The processes to watch.
#[derive(Clone, Debug)]
pub(super) struct Watch(Vec<(Named, Scope)>);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    cpu_ms: u64,
    resident_kib: u64,
}

/// One look at all of them.
#[derive(Clone, Debug)]
pub(super) struct Sample(Vec<Used>);

/// What one process cost during a run. The memory of a tree counts pages that its processes share once for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    /// The operator's name for it.
    pub(super) name: String,
    /// CPU time.
    pub(super) cpu_ms: u64,
    /// CPU time for each good payment, in nanoseconds.
    pub(super) cpu_ns_per_payment: u64,
    /// Resident memory before.
    pub(super) resident_kib_start: u64,
    /// Resident memory after.
    pub(super) resident_kib_end: u64,
}

impl Watch {
    /// The operator's processes, and this one.
    pub(super) fn new(alone: &[Named], trees: &[Named]) -> Self {
        let own = Named { name: "bench".to_owned(), pid: std::process::id() };
        let alone = alone.iter().cloned().chain([own]).map(|named| (named, Scope::Alone));
        Self(alone.chain(trees.iter().cloned().map(|named| (named, Scope::Tree))).collect())
    }

    /// Looks at all of them.
    pub(super) fn sample(&self) -> Result<Sample, BenchError> {
        let used = self.0.iter().map(|(Named { name, pid }, scope)| {
            let used = match scope {
                Scope::Alone => used_alone(*pid),
                Scope::Tree => used_by_tree(*pid),
            };
            used.map_err(|source| BenchError::Process { name: name.clone(), pid: *pid, source })
        });
        used.collect::<Result<_, _>>().map(Sample)
    }

    /// The memory of each now.
    pub(super) fn resident_kib(&self) -> Result<Vec<(String, u64)>, BenchError> {
        let sample = self.sample()?;
        let named = self.0.iter().zip(sample.0);
        Ok(named.map(|((named, _), used)| (named.name.clone(), used.resident_kib)).collect())
    }

    /// What each cost between two looks, given how many payments were good.
    pub(super) fn costs(&self, start: &Sample, end: &Sample, payments: u64) -> Vec<Cost> {
        let mut spent = Spent::default();
        spent.add(start, end);
        self.costs_of(&spent, payments)
    }

    /// What each cost in some stretches of time together.
    pub(super) fn costs_of(&self, spent: &Spent, payments: u64) -> Vec<Cost> {
        let cost = |((named, _), spent): (&(Named, Scope), &Spending)| Cost {
            name: named.name.clone(),
            cpu_ms: spent.cpu_ms,
            cpu_ns_per_payment: spent.cpu_ms.saturating_mul(1_000_000).checked_div(payments).unwrap_or(0),
            resident_kib_start: spent.resident_kib_start,
            resident_kib_end: spent.resident_kib_end,
        };
        self.0.iter().zip(&spent.0).map(cost).collect()
    }
}

/// What every process used in some stretches of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent(Vec<Spending>);

#[derive(Clone, Copy, Debug)]
struct Spending {
    cpu_ms: u64,
    resident_kib_start: u64,
    resident_kib_end: u64,
}

impl Spent {
    /// One more stretch: from one look at the processes to another.
    pub(super) fn add(&mut self, start: &Sample, end: &Sample) {
        let before = std::mem::take(&mut self.0);
        let spent = start.0.iter().zip(&end.0).enumerate().map(|(index, (start, end))| {
            let before = before.get(index);
            let cpu_ms = end.cpu_ms.saturating_sub(start.cpu_ms);
            Spending {
                cpu_ms: before.map_or(0, |before| before.cpu_ms).saturating_add(cpu_ms),
                resident_kib_start: before.map_or(start.resident_kib, |before| before.resident_kib_start),
                resident_kib_end: end.resident_kib,
            }
        });
        self.0 = spent.collect();
    }
}

impl Cost {
    /// The middle of each figure over the runs, process by process.
    pub(super) fn medians(runs: &[&[Self]]) -> Vec<Self> {
        let processes = runs.first().copied().unwrap_or_default();
        let median = |(index, process): (usize, &Self)| {
            let of = |figure: fn(&Self) -> u64| {
                middle_of(runs.iter().filter_map(|run| run.get(index)).map(figure)).unwrap_or(0)
            };
            Self {
                name: process.name.clone(),
                cpu_ms: of(|cost| cost.cpu_ms),
                cpu_ns_per_payment: of(|cost| cost.cpu_ns_per_payment),
                resident_kib_start: of(|cost| cost.resident_kib_start),
                resident_kib_end: of(|cost| cost.resident_kib_end),
            }
        };
        processes.iter().enumerate().map(median).collect()
    }
}

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let per_payment = short(Duration::from_nanos(self.cpu_ns_per_payment));
        let cpu = short(Duration::from_millis(self.cpu_ms));
        let [start, end] = [self.resident_kib_start, self.resident_kib_end].map(|kib| format!("{} MiB", kib >> 10));
        write!(f, "{:<16}{per_payment:>14}{cpu:>12}{start:>14}{end:>14}", self.name)
    }
}

fn used_alone(pid: u32) -> io::Result<Used> {
    Ok(Used { cpu_ms: cpu_ms(&Stat::read(pid)?, &[TICKS_OWN]), resident_kib: resident_kib(pid)? })
}

/// Sums a process and its descendants. Children that ended count where their parent has waited for them.
fn used_by_tree(root: u32) -> io::Result<Used> {
    let mut sum = Used::default();
    for (pid, stat) in tree(root)? {
        sum.cpu_ms = sum.cpu_ms.saturating_add(cpu_ms(&stat, &[TICKS_OWN, TICKS_OF_ENDED_CHILDREN]));
        // One that has ended since is no error; its memory is gone.
        sum.resident_kib = sum.resident_kib.saturating_add(resident_kib(pid).unwrap_or(0));
    }
    Ok(sum)
}

fn tree(root: u32) -> io::Result<BTreeMap<u32, Stat>> {
    let mut found = BTreeMap::from([(root, Stat::read(root)?)]);
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut others: BTreeMap<u32, Stat> = pids.filter_map(|pid| Some((pid, Stat::read(pid).ok()?))).collect();
    loop {
        let children: Vec<u32> = others
            .iter()
            .filter(|(pid, stat)| !found.contains_key(*pid) && stat.parent().is_some_and(|it| found.contains_key(&it)))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            return Ok(found);
        }
        found.extend(children.into_iter().filter_map(|pid| others.remove(&pid).map(|stat| (pid, stat))));
    }
}

/// The fields of `/proc/PID/stat` after the name, which may itself hold blanks and brackets.
struct Stat(Vec<String>);

impl Stat {
    fn read(pid: u32) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = text.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self(fields.split_whitespace().map(str::to_owned).collect()))
    }

    fn parent(&self) -> Option<u32> {
        self.0.get(PARENT)?.parse().ok()
    }

    fn ticks(&self, field: usize) -> u64 {
        self.0.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn cpu_ms(stat: &Stat, pairs: &[[usize; 2]]) -> u64 {
    let ticks = pairs.iter().flatten().fold(0_u64, |sum, field| sum.saturating_add(stat.ticks(*field)));
    ticks.saturating_mul(TICK_MS)
}

fn resident_kib(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(kib_of(&status, "VmRSS:").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_name_and_a_number() {
        assert_eq!("api=42".parse(), Ok(Named { name: "api".to_owned(), pid: 42 }));
        for bad in ["", "42", "=42", "api=", "api=x", "api=-1"] {
            assert_eq!(bad.parse::<Named>(), Err(NotAProcess), "{bad}");
        }
    }

    #[test]
    fn this_process_uses_memory_and_its_tree_no_less() {
        let alone = used_alone(std::process::id()).unwrap();
        let tree = used_by_tree(std::process::id()).unwrap();
        assert!(alone.resident_kib > 0 && tree.resident_kib > 0);
        assert!(tree.cpu_ms >= alone.cpu_ms);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let watch = Watch::new(&["gone=4294967295".parse().unwrap()], &[]);
        let error = watch.sample().unwrap_err();
        assert_eq!(error.to_string(), "process gone (4294967295) cannot be read");
    }

    #[test]
    fn costs_are_what_was_used_meanwhile() {
        let watch = Watch(vec![("api=1".parse().unwrap(), Scope::Alone)]);
        let at = |cpu_ms, resident_kib| Sample(vec![Used { cpu_ms, resident_kib }]);
        let costs = watch.costs(&at(100, 5), &at(300, 7), 1000);
        let expected = Cost {
            name: "api".to_owned(),
            cpu_ms: 200,
            cpu_ns_per_payment: 200_000,
            resident_kib_start: 5,
            resident_kib_end: 7,
        };
        assert_eq!(costs, vec![expected]);
    }

    #[test]
    fn stretches_add_up_without_what_lies_between() {
        let watch = Watch(vec![("api=1".parse().unwrap(), Scope::Alone)]);
        let at = |cpu_ms, resident_kib| Sample(vec![Used { cpu_ms, resident_kib }]);
        let mut spent = Spent::default();
        spent.add(&at(100, 5), &at(300, 6));
        spent.add(&at(900, 7), &at(1000, 8));
        let cost = watch.costs_of(&spent, 100).remove(0);
        assert_eq!((cost.cpu_ms, cost.cpu_ns_per_payment), (300, 3_000_000));
        assert_eq!((cost.resident_kib_start, cost.resident_kib_end), (5, 8));
    }
}
