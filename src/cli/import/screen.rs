//! Owns what an operator sees while an import runs, all of it on stderr: a bar on a terminal, a line every few seconds
//! anywhere else.

#![expect(clippy::print_stderr, reason = "progress of a command line goes to stderr")]

use std::collections::VecDeque;
use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::cli::import::course::{Course, Stage, Stand};

/// How often a bar is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(5);
/// What the rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(5);
/// How wide the bar is.
const BAR_CHARS: u64 = 24;

/// Where progress is shown.
pub(super) enum Screen {
    /// A terminal.
    Bar(ProgressBar),
    /// A pipe, a file, a log.
    Lines,
}

impl Screen {
    /// What stderr is.
    pub(super) fn of_stderr() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // One text, so that no part of it is drawn before another. What does not fit is cut off.
        let style = ProgressStyle::with_template("{wide_msg}");
        Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Says something that stays.
    pub(super) fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Self::Lines => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines => {}
        }
    }

    /// Shows how far `work` is until it is done.
    pub(super) async fn follow<T>(&self, course: &Course, work: impl Future<Output = T>) -> T {
        let every = match self {
            Self::Bar(_) => DRAWN_EVERY,
            Self::Lines => WRITTEN_EVERY,
        };
        let now = Instant::now();
        let mut ticks = interval_at(now.checked_add(every).unwrap_or(now), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::default();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return done,
                now = ticks.tick() => {
                    let stand = course.look();
                    self.show(&stand, pace.rate(&stand, now));
                }
            }
        }
    }

    fn show(&self, stand: &Stand, rate: u64) {
        match self {
            Self::Bar(line) => {
                line.set_message(format!("{:>7} {} {}", word(stand.stage), bar(stand), text(stand, rate)));
            }
            Self::Lines => eprintln!("{}: {}", word(stand.stage), text(stand, rate)),
        }
    }
}

const fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Reading => "reading",
        Stage::Sending => "sending",
        Stage::Posting => "posting",
        Stage::Results => "results",
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unit {
    #[default]
    Bytes,
    Rows,
}

/// How much is done of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measure {
    stage: Stage,
    unit: Unit,
    done: u64,
    all: Option<u64>,
}

impl Measure {
    /// The measure of a stand. A connection takes rows ahead of the server, so where it is known what the server has
    /// finished, that is the measure of sending, too.
    fn of(stand: &Stand) -> Self {
        let batch = stand.batch.as_ref();
        let counts = batch.map(|batch| batch.counts).unwrap_or_default();
        let finished = unsigned(counts.accepted.saturating_sub(counts.in_flight));
        let (unit, done, all) = match (stand.stage, stand.rows_all) {
            (Stage::Sending, rows) if finished > 0 => (Unit::Rows, finished, rows),
            (Stage::Sending, Some(rows)) => (Unit::Rows, stand.rows, Some(rows)),
            (Stage::Reading, _) | (Stage::Sending, None) => (Unit::Bytes, stand.bytes, Some(stand.bytes_all)),
            (Stage::Posting, _) => (Unit::Rows, finished, Some(unsigned(counts.accepted))),
            (Stage::Results, _) => (Unit::Rows, stand.rows, batch.and_then(|batch| batch.received).map(unsigned)),
        };
        Self { stage: stand.stage, unit, done, all }
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn bar(stand: &Stand) -> String {
    let Measure { done, all, .. } = Measure::of(stand);
    // Without a number of rows, how much of the file has gone is all that is known.
    let (done, all) = if all.is_some() { (done, all) } else { (stand.bytes, Some(stand.bytes_all)) };
    let filled = all.and_then(|all| done.saturating_mul(BAR_CHARS).checked_div(all)).unwrap_or(0).min(BAR_CHARS);
    let (filled, width) = (usize::try_from(filled).unwrap_or(0), usize::try_from(BAR_CHARS).unwrap_or(0));
    let head = if filled < width { ">" } else { "" };
    format!("[{:<width$}]", format!("{}{head}", "=".repeat(filled)))
}

fn text(stand: &Stand, rate: u64) -> String {
    let Measure { unit, done, all, .. } = Measure::of(stand);
    let counts = stand.batch.as_ref().map(|batch| batch.counts).unwrap_or_default();
    let of_rows = |rows: u64, all: Option<u64>| match all {
        Some(all) => format!("{} of {} rows", grouped(rows), grouped(all)),
        None => format!("{} rows", grouped(rows)),
    };
    let of_bytes = || format!("{} of {}", mebibytes(stand.bytes), mebibytes(stand.bytes_all));
    let posted = unsigned(counts.posted);
    let mut parts = vec![match (stand.stage, stand.rows_all) {
        (Stage::Reading, _) => of_bytes(),
        (Stage::Sending, None) => format!("{} sent", of_bytes()),
        (Stage::Sending, rows) => format!("{} sent", of_rows(stand.rows, rows)),
        (Stage::Posting, _) => format!("{} posted", of_rows(posted, all)),
        (Stage::Results, _) => of_rows(stand.rows, all),
    }];
    if stand.stage == Stage::Sending && stand.batch.is_some() {
        parts.push(format!("{} posted", grouped(posted)));
    }
    if matches!(stand.stage, Stage::Sending | Stage::Posting) && counts.unposted() > 0 {
        parts.push(format!("{} not", grouped(unsigned(counts.unposted()))));
    }
    if stand.stage == Stage::Sending && stand.is_sent && stand.batch.is_none() {
        parts.push("waiting for the answer".to_owned());
    } else if rate > 0 {
        parts.push(match unit {
            Unit::Bytes => format!("{}/s", mebibytes(rate)),
            Unit::Rows => format!("{} rows/s", grouped(rate)),
        });
        let left = all.and_then(|all| all.saturating_sub(done).checked_div(rate)).filter(|left| *left > 0);
        parts.extend(left.map(|left| format!("{} left", duration(Duration::from_secs(left)))));
    }
    parts.join(", ")
}

/// What is done a second, over the last few.
#[derive(Debug, Default)]
struct Pace {
    of: Measure,
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    fn rate(&mut self, stand: &Stand, now: Instant) -> u64 {
        let measure = Measure::of(stand);
        let is_same = (self.of.stage, self.of.unit) == (measure.stage, measure.unit) && self.of.done <= measure.done;
        if !is_same {
            self.seen.clear();
        }
        self.of = measure;
        self.seen.push_back((now, measure.done));
        let is_old = |seen: &VecDeque<(Instant, u64)>| {
            seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= RATE_OVER)
        };
        while is_old(&self.seen) {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front() else { return 0 };
        let millis = u64::try_from(now.saturating_duration_since(*since).as_millis()).unwrap_or(u64::MAX);
        measure.done.saturating_sub(*before).saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
}

/// The same of a count, which is never less than nothing.
pub(super) fn number(count: i64) -> String {
    u64::try_from(count).map_or_else(|_| count.to_string(), grouped)
}

/// A number as people read it: `1,000,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in MiB with one decimal.
pub(super) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    let (whole, tenth) = (tenths.checked_div(10).unwrap_or(0), tenths.checked_rem(10).unwrap_or(0));
    format!("{}.{tenth} MiB", grouped(whole))
}

/// A time as people say it.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let part = |of: u64| (seconds.checked_div(of).unwrap_or(0), seconds.checked_rem(of).unwrap_or(0));
    let (minutes, seconds_left) = part(60);
    let (hours, hour_left) = part(3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds_left:02} s"),
        (_, _) => format!("{hours} h {:02} min", hour_left.checked_div(60).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::import::batch::tests::batch;

    fn stand(stage: Stage) -> Stand {
        Stand { stage, bytes_all: 255_000_000, bytes: 160_650_000, ..Stand::default() }
    }

    #[test]
    fn each_stage_says_what_is_done_and_what_is_left() {
        let under_way = batch(&[
            ("/counts/accepted", json!(630_000)),
            ("/counts/posted", json!(612_000)),
            ("/counts/rejected", json!(12)),
            ("/counts/in_flight", json!(17_988)),
        ]);
        let rows = Stand { rows_all: Some(1_000_000), rows: 630_000, ..stand(Stage::Sending) };
        let with_batch = |stage| Stand { batch: Some(under_way.clone()), ..stand(stage) };
        let stands = [
            (stand(Stage::Reading), 400_000_000),
            (stand(Stage::Sending), 5_000_000),
            (with_batch(Stage::Sending), 12_000),
            (rows.clone(), 45_120),
            (Stand { batch: Some(under_way.clone()), ..rows.clone() }, 45_120),
            (Stand { is_sent: true, rows: 1_000_000, ..rows }, 45_120),
            (with_batch(Stage::Posting), 1_000),
            (with_batch(Stage::Posting), 0),
            (Stand { rows: 1_000, ..with_batch(Stage::Results) }, 20_000),
        ];
        let lines = stands.map(|(stand, rate)| format!("{} {}", bar(&stand), text(&stand, rate)));
        insta::assert_snapshot!(lines.join("\n"), @r"
        [===============>        ] 153.2 MiB of 243.1 MiB, 381.4 MiB/s
        [===============>        ] 153.2 MiB of 243.1 MiB sent, 4.7 MiB/s, 18 s left
        [===============>        ] 153.2 MiB of 243.1 MiB sent, 612,000 posted, 12 not, 12,000 rows/s
        [===============>        ] 630,000 of 1,000,000 rows sent, 45,120 rows/s, 8 s left
        [==============>         ] 630,000 of 1,000,000 rows sent, 612,000 posted, 12 not, 45,120 rows/s, 8 s left
        [========================] 1,000,000 of 1,000,000 rows sent, waiting for the answer
        [=======================>] 612,000 of 630,000 rows posted, 12 not, 1,000 rows/s, 17 s left
        [=======================>] 612,000 of 630,000 rows posted, 12 not
        [========================] 1,000 of 1,000 rows, 20,000 rows/s
        ");
        assert_eq!(bar(&Stand::default()), "[>                       ]");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut rate = |seconds: u64, rows: u64| {
            let stand = Stand { rows_all: Some(10_000), rows, ..stand(Stage::Sending) };
            pace.rate(&stand, start + Duration::from_secs(seconds))
        };
        assert_eq!([rate(0, 0), rate(1, 1_000), rate(2, 2_000), rate(20, 2_000)], [0, 1_000, 1_000, 0]);
        assert_eq!([rate(21, 100), rate(22, 300)], [0, 200], "a try that begins again has its own rate");
        let finished = batch(&[("/counts/accepted", json!(400)), ("/counts/in_flight", json!(399))]);
        let ahead = Stand { rows_all: Some(10_000), rows: 10_000, batch: Some(finished), ..stand(Stage::Sending) };
        let measure = Measure { stage: Stage::Sending, unit: Unit::Rows, done: 1, all: Some(10_000) };
        assert_eq!(Measure::of(&ahead), measure, "what the server has finished counts, not what was handed over");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1 << 20, 5_000_000_000].map(mebibytes), ["0.0 MiB", "1.0 MiB", "4,768.3 MiB"]);
        let times = [9, 60, 125, 3_725, 90_000].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(times, ["9 s", "1 min 00 s", "2 min 05 s", "1 h 02 min", "25 h 00 min"]);
    }
}
