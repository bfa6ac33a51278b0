//! Owns the oracles of interest on the whole path, each posed so that a late item has to mend it: interest is booked by
//! the wrong principal first, and what should have moved it comes after. And our own cases of that, worked out by hand,
//! for no published numbers have our exact conventions.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use hpts::core::loan::DayCount;
use serde_json::Value;

use super::life::{Books, Loan, minor, parts, same, text};
use super::{Expected, Reason, Rows, Told};
use crate::oracles::amortization::{self, MultiSegment, PayoffQuote, Schedule};
use crate::oracles::interest::{self, Row};
use crate::oracles::{Reason as Other, convention};

/// The rows of `interest.csv`: all that run without the path, and the others for what they are left out there.
pub(super) const EXPECTED: Expected = Expected {
    run: 22,
    compared: 22 * 2,
    left_out: &[
        ("int-021", Reason::OfInterest(Other::AmountOfOtherDays)),
        ("int-023", Reason::OfInterest(Other::AmountOfOtherDays)),
        ("int-029", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-030", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-032", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-033", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-034", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-036", Reason::OfInterest(Other::ConventionNotOffered)),
        ("int-046", Reason::OfInterest(Other::PartMonthByActualDays)),
        ("int-051", Reason::OfInterest(Other::PartMonthByActualDays)),
        ("int-052", Reason::OfInterest(Other::PartMonthByActualDays)),
        ("int-054", Reason::OfInterest(Other::PartMonthByActualDays)),
    ],
    parts: &[],
};

/// The rows of `amortization.json`: schedules with all their periods, sets of segments and quotes; and schedules of which
/// one period does not run, quotes that do not, and factors.
pub(super) const SCHEDULES: Expected = Expected {
    run: 7,
    compared: 74,
    left_out: &[
        ("emi-1014", Reason::OfInterest(Other::ConventionNotOffered)),
        ("emi-359", Reason::OfInterest(Other::AmountOfOtherDays)),
        ("emi-911", Reason::OfInterest(Other::YearDividedElsewhere)),
        ("emi-978", Reason::OfInterest(Other::ConventionNotOffered)),
        ("payoff-till-date", Reason::OfInterest(Other::PartMonthByActualDays)),
        ("payoff-till-period-end", Reason::OfInterest(Other::InterestToPeriodEnd)),
        ("rate-factor-365", Reason::NotBooked),
        ("rate-factor-actual", Reason::NotBooked),
    ],
    parts: &[],
};

/// Our own cases.
pub(super) const OURS: Expected = Expected { run: 11, compared: 79, left_out: &[], parts: &[] };

/// So much more than a row's principal is owed while its interest is accrued.
const TOO_MUCH: i64 = 1_234_567;

/// An accrual that was restated: its day, its interest before and now.
type Mended = (String, i64, i64);

/// The accruals that an answer says were restated.
fn mended(answer: &Value) -> Result<Vec<Mended>, String> {
    let restated = answer["restated"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let accruals = restated.filter(|it| it["event_type"] == "accrual");
    let told = accruals
        .map(|it| Ok((text(&it["effective_at"])?, parts(&it["allocation_before"])?[1], parts(&it["allocation"])?[1])));
    told.collect()
}

fn eve(date: NaiveDate) -> NaiveDate {
    date - Days::new(1)
}

/// The rows of `interest.csv`.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let mut rows = Rows::new("interest.csv");
    for row in csv::Reader::from_reader(interest::DATA.as_bytes()).deserialize::<Row>() {
        let row = row.unwrap();
        match row.run() {
            Some(reason) => rows.leaves_out(&row.id, Reason::OfInterest(reason)),
            None => rows.runs(&row.id.clone(), of_row(books, row)),
        }
    }
    rows
}

/// The interest is accrued while too much is owed. Then a payment comes that counts from the first day.
async fn of_row(books: &Books, row: Row) -> Told {
    let day_count = convention(&row.convention).map_err(|reason| format!("{reason:?}"))?;
    let (days, (rounding, principal, expected)) = (row.days(day_count), row.rounding());
    let (principal, expected, last) = (principal.units(), expected.units(), eve(days.until()));
    let terms = (row.annual_rate_pct.as_str(), day_count, &*rounding.to_string());
    let loan = books.open_bearing(terms, (days.from(), principal + TOO_MUCH)).await?;
    let booked = loan.accrues(last).await?;
    let late = loan.pays(TOO_MUCH, &days.from().to_string()).await?;
    let change = (booked != expected).then(|| (last.to_string(), booked, expected));
    same("mended", &mended(&late)?, &change.into_iter().collect())?;
    same("owed", &loan.balances(last).await?, &[0, expected, principal, 0])?;
    Ok(())
}

/// The rows of `amortization.json`.
pub(super) fn schedules(books: &Books) -> Rows<'_> {
    let file: amortization::File = serde_json::from_str(amortization::DATA).unwrap();
    let mut rows = Rows::new("amortization.json");
    for schedule in file.schedules {
        match schedule.reason() {
            Some(reason) => rows.leaves_out(&schedule.id, Reason::OfInterest(reason)),
            None => rows.runs(&schedule.id.clone(), of_schedule(books, schedule)),
        }
    }
    for row in file.multi_segment {
        rows.runs(&row.id.clone(), of_segments(books, row));
    }
    for factors in &file.rate_factors {
        rows.leaves_out(&factors.id, Reason::NotBooked);
    }
    for quote in file.payoff_quotes {
        match quote.reason() {
            Some(reason) => rows.leaves_out(&quote.id, Reason::OfInterest(reason)),
            None => rows.runs(&quote.id.clone(), of_quote(books, quote)),
        }
    }
    rows
}

/// All periods are accrued while nobody has paid. Then the installments come, the last one first. A period is a stretch of
/// unchanged principal, which upstream rounds by itself.
async fn of_schedule(books: &Books, schedule: Schedule) -> Told {
    let day_count = convention(&schedule.convention).map_err(|reason| format!("{reason:?}"))?;
    let rate = schedule.annual_rate_pct.0.to_string();
    let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
    let opened_on = day(&schedule.periods[0].start);
    let terms = (rate.as_str(), day_count, "half_even,per_segment");
    let loan = books.open_bearing(terms, (opened_on, schedule.disbursed.0.units())).await?;
    for period in &schedule.periods {
        loan.accrues(eve(day(&period.end))).await?;
    }
    let mut payments = BTreeMap::new();
    for period in schedule.periods.iter().rev() {
        let paid = loan.pays(period.installment.0.units(), &period.end).await?;
        payments.insert(period.end.clone(), text(&paid["payment_event_id"])?);
    }
    let mut owed = schedule.disbursed.0.units();
    for period in &schedule.periods {
        let [interest, principal, after] =
            [period.interest, period.principal, period.balance_after].map(|cents| cents.0.units());
        let due = loan.balances(eve(day(&period.end))).await?;
        same(&format!("due on {}", period.end), &due, &[0, interest, owed, 0])?;
        same(
            &format!("paid on {}", period.end),
            &loan.split(&payments[&period.end]).await?,
            &[0, interest, principal, 0],
        )?;
        same(&format!("left on {}", period.end), &loan.balances(day(&period.end)).await?, &[0, 0, after, 0])?;
        owed = after;
    }
    Ok(())
}

/// All days are accrued by the first principal. Then what has paid of it comes.
async fn of_segments(books: &Books, row: MultiSegment) -> Told {
    let day_count = convention(&row.convention).map_err(|reason| format!("{reason:?}"))?;
    let rate = row.annual_rate_pct.0.to_string();
    let [first, second] = &row.segments[..] else { return Err("not two segments".to_owned()) };
    let (principal, rest) = (first.principal.0.units(), second.principal.0.units());
    let terms = (rate.as_str(), day_count, "half_even,per_segment");
    let loan = books.open_bearing(terms, (first.start.parse().unwrap(), principal)).await?;
    let last = eve(second.end.parse().unwrap());
    let booked = loan.accrues(last).await?;
    let late = loan.pays(principal - rest, &second.start).await?;
    let expected = row.expected_interest.0.units();
    same("mended", &mended(&late)?, &vec![(last.to_string(), booked, expected)])?;
    same("owed", &loan.balances(last).await?, &[0, expected, rest, 0])?;
    Ok(())
}

/// Nothing is accrued; then what closes the loan is asked for.
async fn of_quote(books: &Books, quote: PayoffQuote) -> Told {
    let day_count = convention(&quote.convention).map_err(|reason| format!("{reason:?}"))?;
    let (rate, days) = (quote.annual_rate_pct.0.to_string(), quote.days.ok_or("a quote of no days")?);
    let terms = (rate.as_str(), day_count, "half_up,per_diem");
    let first: NaiveDate = day("01-01");
    let loan = books.open_bearing(terms, (first, quote.principal.0.units())).await?;
    let quoted = loan.payoff(first + Days::new(u64::try_from(days).map_err(|_| "negative days")?)).await?;
    let [principal, interest, total] =
        [quote.expected.principal, quote.expected.interest, quote.expected.total].map(|cents| cents.0.units());
    let names = ["principal_outstanding_minor", "interest_not_booked_minor", "payoff_minor", "per_diem_minor"];
    let per_diem = quote.per_diem.ok_or("a quote of no days")?.0.units();
    for (name, expected) in names.into_iter().zip([principal, interest, total, per_diem]) {
        same(name, &minor(&quoted[name])?, &expected)?;
    }
    Ok(())
}

/// Our own worked cases. 7.3 % over 365 days are 0.02 % a day: 10,000.00 bear 2.00.
pub(super) fn ours(books: &Books) -> Rows<'_> {
    let mut rows = Rows::new("ours, interest that is mended");
    rows.runs("after an ACH return", after_a_return(books));
    rows.runs("after a backdated payment", after_a_backdated_payment(books));
    rows.runs("backdated twice (FINERACT-2081, FINERACT-2060)", backdated_twice(books));
    rows.runs("after a void on a loan that is paid off", after_a_void_on_a_paid_off_loan(books));
    rows.runs("after a return on a loan that is charged off", after_a_return_on_a_charged_off_loan(books));
    rows.runs("on the last day of a month (Mambu CCI-I-2)", on_the_last_day_of_a_month(books));
    rows.runs("across 29 February, ACT/365F", across_the_leap_day(books));
    rows.runs("30/360 over the end of February", in_months_of_thirty_days(books));
    rows.runs("days of an accrual that is taken back", of_an_accrual_taken_back(books));
    rows.runs("under an adjustment that took more than is left", under_an_adjustment(books));
    rows.runs("accrued late in front of a charge-off", in_front_of_a_charge_off(books));
    rows
}

fn day(text: &str) -> NaiveDate {
    format!("2026-{text}").parse().unwrap()
}

async fn of_ten_thousand(books: &Books) -> Result<Loan<'_>, String> {
    books.open_bearing(("7.3", DayCount::Act365, "half_up,daily"), (day("01-01"), 1_000_000)).await
}

fn changes(expected: &[(&str, i64, i64)]) -> Vec<Mended> {
    expected.iter().map(|(on, before, now)| (format!("2026-{on}"), *before, *now)).collect()
}

/// To 31 January 31 days of 2.00: 62.00. On 1 February 1,062.00 pay these and 1,000.00; 9,000.00 bear 1.80 a day, 18.00 to
/// 10 February and 18.00 to 20 February. On 21 February 100.00 pay 36.00 and 64.00; 8,936.00 bear 1.7872 a day, 14.2976 to
/// 28 February: 112.2976 in all, after 98.00, are 14.30.
///
/// On 2 March the 1,062.00 come back. 10,000.00 have borne 2.00 a day all the time: 20.00 to 10 February, 20.00 to
/// 20 February, and 16.00 in 8 days to 28 February. The 100.00 pay 100.00 of the 102.00 that were owed by then. Owed are
/// the other 2.00 and 16.00, the principal, and a fee.
async fn after_a_return(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    same("January", &loan.accrues(day("01-31")).await?, &6_200)?;
    let paid = loan.pays(106_200, "2026-02-01").await?;
    same("10 February", &loan.accrues(day("02-10")).await?, &1_800)?;
    same("20 February", &loan.accrues(day("02-20")).await?, &1_800)?;
    let later = loan.pays(10_000, "2026-02-21").await?;
    same("first split", &parts(&later["allocation"])?, &[0, 3_600, 6_400, 0])?;
    same("28 February", &loan.accrues(day("02-28")).await?, &1_430)?;
    let back = loan.returned(&paid, "2026-03-02", 2_500).await?;
    let expected = [("02-10", 1_800, 2_000), ("02-20", 1_800, 2_000), ("02-28", 1_430, 1_600)];
    same("mended", &mended(&back)?, &changes(&expected))?;
    same("split", &loan.split(&text(&later["payment_event_id"])?).await?, &[0, 10_000, 0, 0])?;
    same("28 February", &loan.balances(day("02-28")).await?, &[0, 1_800, 1_000_000, 0])?;
    same("2 March", &loan.balances(day("03-02")).await?, &[2_500, 1_800, 1_000_000, 0])?;
    // 31 days of 2.00.
    same("March", &loan.accrues(day("03-31")).await?, &6_200)?;
    Ok(())
}

/// Three accruals of ten days have 20.00 each; on 31 January 60.00 pay them. Then 5,010.00 come that count from
/// 16 January. They pay the 20.00 of 10 January and 4,990.00: 5,010.00 bear 1.002 a day from then on. To 20 January that
/// makes 5 days of 2.00 and 5 of 1.002, 15.01; to 30 January 10.02. So the 60.00 pay 25.03 of interest and 34.97 of
/// principal: 4,975.03 bear 0.995006 a day, 9.95006 to 9 February: 54.98006 in all, after 45.03, are 9.95.
async fn after_a_backdated_payment(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    for on in ["01-10", "01-20", "01-30"] {
        same(on, &loan.accrues(day(on)).await?, &2_000)?;
    }
    let later = loan.pays(6_000, "2026-01-31").await?;
    let foreseen = loan.foresees(501_000, "2026-01-16").await?;
    let late = loan.pays(501_000, "2026-01-16").await?;
    same("split of the late payment", &parts(&late["allocation"])?, &[0, 2_000, 499_000, 0])?;
    let expected = changes(&[("01-20", 2_000, 1_501), ("01-30", 2_000, 1_002)]);
    same("mended", &mended(&late)?, &expected)?;
    same("foreseen", &mended(&foreseen)?, &expected)?;
    same("split", &loan.split(&text(&later["payment_event_id"])?).await?, &[0, 2_503, 3_497, 0])?;
    same("20 January", &loan.balances(day("01-20")).await?, &[0, 1_501, 501_000, 0])?;
    same("31 January", &loan.balances(day("01-31")).await?, &[0, 0, 497_503, 0])?;
    same("9 February", &loan.accrues(day("02-09")).await?, &995)?;
    Ok(())
}

/// 1,020.00 that count from 11 January pay 20.00 and 1,000.00: 1.80 a day. 2,010.00 that count from 21 January pay 18.00
/// and 1,992.00: 7,008.00 bear 1.4016 a day, 14.016 in ten days: 52.016 in all, after 38.00, are 14.02. The accrual of
/// 10 January is never stated anew, that of 20 January once, that of 30 January twice; a fee that nobody has paid states
/// none anew.
async fn backdated_twice(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    for on in ["01-10", "01-20", "01-30"] {
        same(on, &loan.accrues(day(on)).await?, &2_000)?;
    }
    let first = loan.pays(102_000, "2026-01-11").await?;
    same("first", &mended(&first)?, &changes(&[("01-20", 2_000, 1_800), ("01-30", 2_000, 1_800)]))?;
    let second = loan.pays(201_000, "2026-01-21").await?;
    same("second", &mended(&second)?, &changes(&[("01-30", 1_800, 1_402)]))?;
    let fee = loan.charges(500, "2026-01-25").await?;
    same("a fee", &mended(&fee)?, &Vec::new())?;
    for (sort, expected) in [("accrual", 3), ("payment_allocated", 3), ("payment_received", 2)] {
        let path = format!("/v1/loans/{}/journal-entries?event_type={sort}", loan.id);
        let entries = loan.books.get(&path).await?;
        same(sort, &entries["items"].as_array().map(Vec::len), &Some(expected))?;
    }
    Ok(())
}

/// To 31 January 62.00; on 1 February 10,062.00 pay all. Nothing accrues in February, and on 1 March 0.50 wait in suspense.
/// Then the 10,062.00 turn out to be somebody else's: February bears 28 days of 2.00, and the 0.50 pay of January's.
async fn after_a_void_on_a_paid_off_loan(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    same("January", &loan.accrues(day("01-31")).await?, &6_200)?;
    let paid = loan.pays(1_006_200, "2026-02-01").await?;
    same("February", &loan.accrues(day("02-28")).await?, &0)?;
    let later = loan.pays(50, "2026-03-01").await?;
    same("first split", &parts(&later["allocation"])?, &[0, 0, 0, 50])?;
    let undone = loan.reverses(&paid["journal_entry_id"], "2026-03-02").await?;
    same("undone", &undone["reverses_entry_id"], &paid["journal_entry_id"])?;
    same("split", &loan.split(&text(&later["payment_event_id"])?).await?, &[0, 50, 0, 0])?;
    same("28 February", &loan.balances(day("02-28")).await?, &[0, 11_800, 1_000_000, 0])?;
    same("10 March", &loan.accrues(day("03-10")).await?, &2_000)?;
    Ok(())
}

/// To 31 January 62.00; on 1 February 5,062.00 pay these and 5,000.00. To 10 February 10.00; on 11 February 5,000.00 and
/// 10.00 are charged off. Then the 5,062.00 come back: 10,000.00 have borne 20.00 to 10 February, and charged off are
/// 10,000.00 and 82.00.
async fn after_a_return_on_a_charged_off_loan(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    same("January", &loan.accrues(day("01-31")).await?, &6_200)?;
    let paid = loan.pays(506_200, "2026-02-01").await?;
    same("10 February", &loan.accrues(day("02-10")).await?, &1_000)?;
    loan.charges_off("2026-02-11").await?;
    same("charged off", &loan.owed().await?, &(501_000, 0))?;
    let back = loan.returned(&paid, "2026-02-16", 0).await?;
    same("mended", &mended(&back)?, &changes(&[("02-10", 1_000, 2_000)]))?;
    same("10 February", &loan.balances(day("02-10")).await?, &[0, 8_200, 1_000_000, 0])?;
    same("charged off", &loan.owed().await?, &(1_008_200, 0))?;
    Ok(())
}

/// 31 January is accrued on its own: 2.00 by 10,000.00. Then 5,060.00 come that count from that day. They find the 60.00
/// of the days before, and 5,000.00 bear 1.00 on 31 January: the month ends with that.
async fn on_the_last_day_of_a_month(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    same("30 January", &loan.accrues(day("01-30")).await?, &6_000)?;
    same("31 January", &loan.accrues(day("01-31")).await?, &200)?;
    let late = loan.pays(506_000, "2026-01-31").await?;
    same("split", &parts(&late["allocation"])?, &[0, 6_000, 500_000, 0])?;
    same("mended", &mended(&late)?, &changes(&[("01-31", 200, 100)]))?;
    same("31 January", &loan.balances(day("01-31")).await?, &[0, 100, 500_000, 0])?;
    let restating = text(&late["restated"][0]["journal_entry_id"])?;
    let entry = books.get(&format!("/v1/journal-entries/{restating}")).await?;
    same("its day", &text(&entry["effective_at"])?, &"2026-01-31".to_owned())?;
    let lines = books.lines(&Value::String(restating)).await?;
    same("its lines", &lines, &vec![("1200".to_owned(), -100), ("4100".to_owned(), 100)])?;
    same("1 February", &loan.accrues(day("02-01")).await?, &100)?;
    Ok(())
}

/// 36,500.00 at 10 % bear 10.00 a day, whether the year has a 29 February or not. From 15 February to 5 March 2024 are 15
/// and 5 days: 200.00. 18,250.00 turn out to have been paid on 29 February: 14 days of 10.00 and 6 of 5.00 are 170.00.
async fn across_the_leap_day(books: &Books) -> Told {
    let on = |text: &str| -> NaiveDate { text.parse().unwrap() };
    let terms = ("10", DayCount::Act365, "half_up,daily");
    let loan = books.open_bearing(terms, (on("2024-02-15"), 3_650_000)).await?;
    same("5 March", &loan.accrues(on("2024-03-05")).await?, &20_000)?;
    let late = loan.pays(1_825_000, "2024-02-29").await?;
    same("mended", &mended(&late)?, &vec![("2024-03-05".to_owned(), 20_000, 17_000)])?;
    same("5 March", &loan.balances(on("2024-03-05")).await?, &[0, 17_000, 1_825_000, 0])?;
    Ok(())
}

/// 36,000.00 at 10 % bear 10.00 a day of a year of 360. From 31 January to 1 March 2024, of which the 31st counts as the
/// 30th, are 31 such days: 310.00. 18,000.00 turn out to have been paid on 15 February: 15 days of 10.00 from 31 January
/// on, and 16 of 5.00 from 15 February on, are 230.00.
async fn in_months_of_thirty_days(books: &Books) -> Told {
    let on = |text: &str| -> NaiveDate { text.parse().unwrap() };
    let terms = ("10", DayCount::Thirty360, "half_up,daily");
    let loan = books.open_bearing(terms, (on("2024-01-31"), 3_600_000)).await?;
    same("29 February", &loan.accrues(on("2024-02-29")).await?, &31_000)?;
    let late = loan.pays(1_800_000, "2024-02-15").await?;
    same("mended", &mended(&late)?, &vec![("2024-02-29".to_owned(), 31_000, 23_000)])?;
    same("29 February", &loan.balances(on("2024-02-29")).await?, &[0, 23_000, 1_800_000, 0])?;
    Ok(())
}

/// 20.00 to 10 January and 20.00 to 20 January, and of these 40.00 an adjustment of 25 January takes 30.00. 5,010.00 that
/// count from 16 January pay 20.00 and 4,990.00, and leave 15.01 of the second accrual: so much is taken, and 14.99 are
/// booked back. When the 5,010.00 go back, 30.00 of 40.00 are taken again.
async fn under_an_adjustment(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    for on in ["01-10", "01-20"] {
        same(on, &loan.accrues(day(on)).await?, &2_000)?;
    }
    loan.adjusts(&[("5200", "DR", 3_000), ("1200", "CR", 3_000)], "2026-01-25").await?;
    let late = loan.pays(501_000, "2026-01-16").await?;
    same("mended", &mended(&late)?, &changes(&[("01-20", 2_000, 1_501)]))?;
    same(
        "adjusted",
        &of_adjustments(books, &late).await?,
        &vec![("1200".to_owned(), 1_499), ("5200".to_owned(), -1_499)],
    )?;
    same("25 January", &loan.balances(day("01-25")).await?, &[0, 0, 501_000, 0])?;
    let back = loan.returned(&late, "2026-02-02", 0).await?;
    same(
        "adjusted",
        &of_adjustments(books, &back).await?,
        &vec![("1200".to_owned(), -1_499), ("5200".to_owned(), 1_499)],
    )?;
    same("25 January", &loan.balances(day("01-25")).await?, &[0, 1_000, 1_000_000, 0])?;
    Ok(())
}

/// The lines that have restated an adjustment.
async fn of_adjustments(books: &Books, answer: &Value) -> Result<Vec<(String, i64)>, String> {
    let mut restated = answer["restated"].as_array().ok_or("nothing is restated")?.iter();
    let of_one = restated.find(|it| it["event_type"] == "manual_adjustment");
    books.lines(&of_one.ok_or("no adjustment is restated")?["journal_entry_id"]).await
}

/// 20.00 to 10 January; on 25 January 10,020.00 are charged off. Then 20 January is accrued: 20.00 more are charged off. A
/// day from the charge-off on bears nothing any more, and is refused.
async fn in_front_of_a_charge_off(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    same("10 January", &loan.accrues(day("01-10")).await?, &2_000)?;
    loan.charges_off("2026-01-25").await?;
    same("charged off", &loan.owed().await?, &(1_002_000, 0))?;
    same("20 January", &loan.accrues(day("01-20")).await?, &2_000)?;
    same("20 January", &loan.balances(day("01-20")).await?, &[0, 4_000, 1_000_000, 0])?;
    same("charged off", &loan.owed().await?, &(1_004_000, 0))?;
    let refused = loan.accrues(day("01-25")).await;
    same("25 January", &refused.is_err_and(|why| why.contains("loan_closed")), &true)?;
    Ok(())
}

/// Three accruals of ten days have 20.00 each. The second is taken back: its days are the third's, 40.00. Its days come
/// again, in two: 10.00 to 15 January, of which the third keeps 30.00, and 10.00 to 20 January, of which it keeps 20.00.
async fn of_an_accrual_taken_back(books: &Books) -> Told {
    let loan = of_ten_thousand(books).await?;
    for on in ["01-10", "01-20", "01-30"] {
        same(on, &loan.accrues(day(on)).await?, &2_000)?;
    }
    let path = format!("/v1/loans/{}/journal-entries?event_type=accrual", loan.id);
    let entries = books.get(&path).await?;
    let second = &entries["items"][1]["journal_entry_id"];
    loan.reverses(second, "2026-01-31").await?;
    same("20 January", &loan.balances(day("01-20")).await?[1], &2_000)?;
    same("30 January", &loan.balances(day("01-30")).await?[1], &6_000)?;
    let late = loan.accrual(day("01-15")).await?;
    same("15 January", &minor(&late["total_accrued_minor"])?, &1_000)?;
    let event = books.get(&format!("/v1/events/{}", text(&late["accrual_event_id"])?)).await?;
    same("mended", &mended(&event)?, &changes(&[("01-30", 4_000, 3_000)]))?;
    same("20 January", &loan.accrues(day("01-20")).await?, &1_000)?;
    let mut days = Vec::new();
    for on in ["01-10", "01-15", "01-20", "01-30"] {
        days.push(loan.balances(day(on)).await?[1]);
    }
    same("every day once", &days, &vec![2_000, 3_000, 4_000, 6_000])?;
    let income = books.get(&path).await?;
    let lines = income["items"]
        .as_array()
        .ok_or("no entries")?
        .iter()
        .filter_map(|it| minor(&it["lines"][0]["amount_minor"]).ok());
    same("as booked", &lines.collect::<Vec<_>>(), &vec![2_000, 2_000, 2_000, 1_000, 1_000])?;
    Ok(())
}
