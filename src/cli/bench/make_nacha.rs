//! Owns `hpts bench make-nacha`: an ACH file of debit entries as a lender's bank would pass it on, and the loans that
//! its entries name.
//!
//! Entry by entry the file names one loan number after the other, from the first again when all were named. The file is
//! settled on the day the loans open, so that its payments count on any later day. The same arguments always give the
//! same bytes; another `--number` gives another file with an identity of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, NaiveTime};
use clap::Args;

use crate::cli::bench::answer::write_file;
use crate::cli::bench::loans::{Draws, Loans, amount_of};
use crate::cli::bench::session::SETUP_CONNECTIONS;
use crate::cli::bench::target::Target;
use crate::cli::bench::token::TokenSource;
use crate::cli::bench::{BenchError, setup};
use crate::core::ach::{
    BatchSpec, EntrySpec, FileSpec, RoutingNumber, SecCode, TransactionCode, WriteError, Writer, weekday_from,
};
use crate::core::money::Minor;
use crate::core::time::parse_date;
use crate::runtime::lifecycle::Lifecycle;

/// Entries of a batch, at most.
const BATCH_ENTRIES: u64 = 10_000;
/// Files with an identity of their own: so many in a minute of a day.
const MODIFIERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const MINUTES: u64 = 1_440;
/// A debit from a checking account.
const DEBIT: u64 = 27;
/// The lender's bank and the borrowers', without their check digits.
const ODFI: u32 = 12_104_288;
const RDFI: u32 = 23_138_010;

/// An ACH file of debit entries, each naming a loan by its number.
#[derive(Args, Clone, Debug)]
pub struct BenchMakeNacha {
    /// Where the file goes.
    file: PathBuf,
    /// How many debit entries.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    entries: u64,
    /// How many loans they name.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    loans: u64,
    /// Which loans: another seed means other loans, up to 10,000.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which of the files of a day: another number means another header and other amounts.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..51_840))]
    number: u64,
    /// The day the loans open and the file is settled; the Monday after it where it is on a weekend.
    #[arg(long, value_name = "DATE", default_value = "2020-01-02", value_parser = parse_date)]
    effective_date: NaiveDate,
    /// Register the loans as well. Needed once for a seed and date; repeating it changes nothing.
    #[arg(long)]
    setup: bool,
    /// The API that registers them.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The client.
    #[arg(long, env = "HPTS_CLIENT_ID", required_if_eq("setup", "true"))]
    client_id: Option<String>,
    /// Its secret.
    #[arg(long, env = "HPTS_CLIENT_SECRET", hide_env_values = true, required_if_eq("setup", "true"))]
    client_secret: Option<String>,
}

/// Writes the file, registers its loans where asked to, and says what is in it.
pub(super) async fn run(arguments: BenchMakeNacha) -> Result<(), BenchError> {
    let loans = Loans::numbered(arguments.seed, arguments.loans, arguments.effective_date);
    let (bytes, sum) = nacha(&loans, arguments.entries, arguments.number)?;
    write_file(&arguments.file, &bytes)?;
    if arguments.setup {
        register(&arguments, loans).await?;
    }
    println!("{}", told(&arguments.file, arguments.entries, arguments.loans.min(arguments.entries), sum));
    Ok(())
}

async fn register(arguments: &BenchMakeNacha, loans: Loans) -> Result<(), BenchError> {
    let target = Target::parse(&arguments.url)?;
    let (id, secret) = (arguments.client_id.as_deref(), arguments.client_secret.as_deref());
    let tokens = TokenSource::new(target.at("/oauth2/token"), id.unwrap_or_default(), secret.unwrap_or_default());
    let authorization = tokens.start(&Lifecycle::new()).await?;
    setup::register(&[target], SETUP_CONNECTIONS, &Arc::new(loans), &authorization).await
}

fn told(file: &Path, entries: u64, loans: u64, sum: Minor) -> String {
    format!("{}: {entries} debit entries over {loans} loan numbers, {sum} cents", file.display())
}

/// The file and the sum of its entries.
fn nacha(loans: &Loans, entries: u64, number: u64) -> Result<(Vec<u8>, Minor), BenchError> {
    let day = weekday_from(loans.opened_on());
    let mut writer = Writer::new(&header(day, number))?;
    let mut draws = Draws::new(number);
    let mut sum = Minor::ZERO;
    for index in 0..entries {
        if index.checked_rem(BATCH_ENTRIES) == Some(0) {
            writer.batch(&batch(day)?)?;
        }
        let amount = amount_of(draws.next());
        sum = Minor::sum([sum, amount]).map_err(|_| too_large())?;
        let loan = index.checked_rem(loans.count()).unwrap_or(0);
        let (number, account) = (loans.number(loan), format!("7{loan:011}"));
        writer.entry(&EntrySpec {
            code: TransactionCode::of_number(DEBIT).ok_or_else(too_large)?,
            rdfi: RoutingNumber::new(RDFI).ok_or_else(too_large)?,
            account: &account,
            amount,
            individual_id: &number,
            name: "BENCH BORROWER",
            addenda: &[],
        })?;
    }
    Ok((writer.finish()?, sum))
}

fn too_large() -> WriteError {
    WriteError::DoesNotFit { field: "amount" }
}

fn header(day: NaiveDate, number: u64) -> FileSpec<'static> {
    let count = u64::try_from(MODIFIERS.len()).unwrap_or(1);
    let minute = number.checked_div(count).unwrap_or(0).checked_rem(MINUTES).unwrap_or(0);
    let seconds = u32::try_from(minute.saturating_mul(60)).unwrap_or(0);
    let modifier = usize::try_from(number.checked_rem(count).unwrap_or(0)).ok().and_then(|index| MODIFIERS.get(index));
    FileSpec {
        destination: "231380104",
        origin: "121042882",
        destination_name: "BENCH RECEIVING BANK",
        origin_name: "BENCH LENDING BANK",
        created_on: day,
        created_at: NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or_default(),
        modifier: modifier.copied().map_or('A', char::from),
    }
}

fn batch(day: NaiveDate) -> Result<BatchSpec<'static>, WriteError> {
    Ok(BatchSpec {
        company_name: "BENCH LENDER",
        company_id: "1210428829",
        sec: SecCode::Ppd,
        description: "LOAN PYMT",
        effective_entry_date: Some(day),
        settlement_day: u16::try_from(day.ordinal()).ok(),
        odfi: RoutingNumber::new(ODFI).ok_or_else(too_large)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ach::{Feed, FeedSettings, Meaning};

    #[test]
    fn every_entry_is_a_payment_of_the_next_loan() {
        let loans = Loans::numbered(3, 7, NaiveDate::from_ymd_opt(2020, 1, 4).unwrap());
        let (bytes, sum) = nacha(&loans, 10_010, 40).unwrap();
        let settings =
            FeedSettings { name: "bench".to_owned(), view: "originator".to_owned(), ..FeedSettings::default() };
        let feed = Feed::new(&settings).unwrap();
        let file = feed.read(&bytes).unwrap();
        let classifier = feed.classifier(file.header(), NaiveDate::from_ymd_opt(2020, 1, 6).unwrap());
        let mut paid = Minor::ZERO;
        for (index, entry) in (0..).zip(file.entries()) {
            let Meaning::Payment(payment) = classifier.classify(&entry) else { panic!("entry {index} is no payment") };
            assert_eq!(payment.loan_numbers[0].as_str(), loans.number(index % 7));
            paid = Minor::sum([paid, payment.amount.minor]).unwrap();
        }
        assert_eq!(paid, sum);
        assert_ne!(nacha(&loans, 10, 40).unwrap().0, nacha(&loans, 10, 41).unwrap().0);
        assert_eq!(nacha(&loans, 10, 40).unwrap().0, nacha(&loans, 10, 40).unwrap().0);
    }
}
