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
/// The bar's steps.
const STEPS: u64 = 1000;
const TEMPLATE: &str = "{prefix:>8} [{bar:24}] {wide_msg}";

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
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(TEMPLATE).map(|style| style.progress_chars("=> "));
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
        let line = line(stand, rate);
        match self {
            Self::Bar(bar) => {
                bar.set_prefix(word(stand.stage));
                bar.set_position(steps(stand));
                bar.set_message(line);
                bar.tick();
            }
            Self::Lines => eprintln!("{}: {line}", word(stand.stage)),
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

/// What a stage does so far, and what there is to do, where that is known: rows where they can be counted, else bytes.
fn done_of(stand: &Stand) -> (u64, Option<u64>) {
    match (stand.stage, stand.rows_all) {
        (Stage::Reading, _) | (Stage::Sending, None) => (stand.bytes, Some(stand.bytes_all)),
        (Stage::Sending, Some(rows)) => (stand.rows, Some(rows)),
        (Stage::Posting, _) => {
            let counts = stand.batch.as_ref().map(|batch| batch.counts).unwrap_or_default();
            let count = |count: i64| u64::try_from(count).unwrap_or(0);
            (count(counts.accepted.saturating_sub(counts.in_flight)), Some(count(counts.accepted)))
        }
        (Stage::Results, _) => (stand.bytes, None),
    }
}

/// How far the bar is.
fn steps(stand: &Stand) -> u64 {
    let (done, all) = done_of(stand);
    all.map_or(0, |all| done.saturating_mul(STEPS).checked_div(all).unwrap_or(0))
}

fn line(stand: &Stand, rate: u64) -> String {
    let (done, all) = done_of(stand);
    let counts = stand.batch.as_ref().map(|batch| batch.counts).unwrap_or_default();
    let posted = u64::try_from(counts.posted).unwrap_or(0);
    let unposted = u64::try_from(counts.unposted()).unwrap_or(0);
    let is_in_bytes = matches!(stand.stage, Stage::Reading | Stage::Results)
        || (stand.stage == Stage::Sending && stand.rows_all.is_none());
    let mut parts = vec![match stand.stage {
        Stage::Reading => format!("{} of {}", mebibytes(done), mebibytes(stand.bytes_all)),
        Stage::Sending if is_in_bytes => format!("{} of {} sent", mebibytes(done), mebibytes(stand.bytes_all)),
        Stage::Sending => format!("{} of {} rows sent", grouped(done), grouped(all.unwrap_or(done))),
        Stage::Posting => format!("{} of {} rows posted", grouped(posted), grouped(all.unwrap_or(0))),
        Stage::Results => mebibytes(done),
    }];
    if stand.stage == Stage::Sending && stand.batch.is_some() {
        parts.push(format!("{} posted", grouped(posted)));
    }
    if matches!(stand.stage, Stage::Sending | Stage::Posting) && unposted > 0 {
        parts.push(format!("{} not", grouped(unposted)));
    }
    if stand.stage == Stage::Sending && stand.is_sent {
        parts.push("waiting for the answer".to_owned());
    } else if rate > 0 {
        parts.push(if is_in_bytes { format!("{}/s", mebibytes(rate)) } else { format!("{} rows/s", grouped(rate)) });
        let left = all.and_then(|all| all.saturating_sub(done).checked_div(rate)).filter(|left| *left > 0);
        parts.extend(left.map(|left| format!("{} left", duration(Duration::from_secs(left)))));
    }
    parts.join(", ")
}

/// What is done a second, over the last few.
#[derive(Debug, Default)]
struct Pace {
    stage: Stage,
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    fn rate(&mut self, stand: &Stand, now: Instant) -> u64 {
        let (done, _) = done_of(stand);
        let is_another = self.stage != stand.stage || self.seen.back().is_some_and(|(_, before)| done < *before);
        if is_another {
            (self.stage, self.seen) = (stand.stage, VecDeque::new());
        }
        self.seen.push_back((now, done));
        let is_old = |seen: &VecDeque<(Instant, u64)>| {
            seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= RATE_OVER)
        };
        while is_old(&self.seen) {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front() else { return 0 };
        let millis = u64::try_from(now.saturating_duration_since(*since).as_millis()).unwrap_or(u64::MAX);
        done.saturating_sub(*before).saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
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
        let lines = [
            line(&stand(Stage::Reading), 400_000_000),
            line(&stand(Stage::Sending), 5_000_000),
            line(&rows, 45_120),
            line(&Stand { batch: Some(under_way.clone()), ..rows.clone() }, 45_120),
            line(&Stand { is_sent: true, rows: 1_000_000, ..rows }, 45_120),
            line(&with_batch(Stage::Posting), 1_000),
            line(&with_batch(Stage::Posting), 0),
            line(&stand(Stage::Results), 50_000_000),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        153.2 MiB of 243.1 MiB, 381.4 MiB/s
        153.2 MiB of 243.1 MiB sent, 4.7 MiB/s, 18 s left
        630,000 of 1,000,000 rows sent, 45,120 rows/s, 8 s left
        630,000 of 1,000,000 rows sent, 612,000 posted, 12 not, 45,120 rows/s, 8 s left
        1,000,000 of 1,000,000 rows sent, waiting for the answer
        612,000 of 630,000 rows posted, 12 not, 1,000 rows/s, 17 s left
        612,000 of 630,000 rows posted, 12 not
        153.2 MiB, 47.6 MiB/s
        ");
        assert_eq!((steps(&stand(Stage::Reading)), steps(&with_batch(Stage::Posting))), (630, 971));
        assert_eq!(steps(&Stand::default()), 0);
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
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1 << 20, 5_000_000_000].map(mebibytes), ["0.0 MiB", "1.0 MiB", "4,768.3 MiB"]);
        let times = [9, 60, 125, 3_725, 90_000].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(times, ["9 s", "1 min 00 s", "2 min 05 s", "1 h 02 min", "25 h 00 min"]);
    }
}
