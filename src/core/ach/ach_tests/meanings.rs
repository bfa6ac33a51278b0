//! Owns the table of meanings: one entry under one feed, and what it is.

use super::*;
use crate::core::ach::ExceptionReason as Reason;

const PPD: SecCode = SecCode::Ppd;

fn settings(view: View) -> FeedSettings {
    FeedSettings {
        name: "feed".to_owned(),
        view: view.name().to_owned(),
        tolerances: vec!["entry_amounts".to_owned()],
        return_fee: Some(Minor::new(2500)),
        ..FeedSettings::default()
    }
}

fn originator() -> Feed {
    Feed::new(&settings(View::Originator)).unwrap()
}

fn receiver() -> Feed {
    Feed::new(&settings(View::Receiver)).unwrap()
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// The meaning of one entry, judged with a business date.
fn meaning_on(feed: &Feed, batch: &BatchSpec<'_>, entry: &EntrySpec<'_>, latest: NaiveDate) -> Meaning {
    let mut writer = Writer::new(&file_spec()).unwrap();
    writer.batch(batch).unwrap();
    writer.entry(entry).unwrap();
    let bytes = writer.finish().unwrap();
    let file = feed.read(&bytes).unwrap();
    feed.classifier(file.header(), latest).classify(&file.entries().next().unwrap())
}

fn meaning(feed: &Feed, batch: &BatchSpec<'_>, entry: &EntrySpec<'_>) -> Meaning {
    meaning_on(feed, batch, entry, MADE_ON)
}

fn reason(meaning: &Meaning) -> Option<Reason> {
    match meaning {
        Meaning::Exception(reason) => Some(*reason),
        Meaning::Payment(_) | Meaning::Return(_) | Meaning::Change(_) => None,
    }
}

fn loan_of(meaning: &Meaning) -> Option<&str> {
    match meaning {
        Meaning::Payment(payment) => payment.loan_numbers.first().map(crate::core::event::LoanNumber::as_str),
        Meaning::Return(_) | Meaning::Change(_) | Meaning::Exception(_) => None,
    }
}

#[test]
fn direction_follows_the_view_and_never_the_sign() {
    for (feed, number, expected) in [
        (originator(), 27, None),
        (originator(), 37, None),
        (originator(), 22, Some(Reason::AgainstDirection)),
        (originator(), 32, Some(Reason::AgainstDirection)),
        (originator(), 52, Some(Reason::AgainstDirection)),
        (originator(), 47, Some(Reason::GeneralLedgerAccount)),
        (originator(), 55, Some(Reason::LoanDebit)),
        (receiver(), 22, None),
        (receiver(), 32, None),
        (receiver(), 52, None),
        (receiver(), 42, Some(Reason::GeneralLedgerAccount)),
        (receiver(), 27, Some(Reason::AgainstDirection)),
        (receiver(), 55, Some(Reason::LoanDebit)),
    ] {
        let found = meaning(&feed, &batch_spec(), &EntrySpec { code: code(number), ..entry_spec() });
        assert_eq!(reason(&found), expected, "{number} in {:?}", feed.view());
    }
}

#[test]
fn entries_without_money_never_post() {
    for (number, expected) in [
        (28, Reason::Prenote),
        (38, Reason::Prenote),
        (23, Reason::Prenote),
        (29, Reason::ZeroAmount),
        (24, Reason::ZeroAmount),
    ] {
        let entry = EntrySpec { code: code(number), amount: Minor::ZERO, ..entry_spec() };
        assert_eq!(reason(&meaning(&originator(), &batch_spec(), &entry)), Some(expected), "{number}");
    }
}

#[test]
fn tolerated_amounts_are_exceptions() {
    use super::Spoil::Put;
    const ZERO: &[u8] = b"0000000000";
    for (ways, expected) in [
        (&[Put(3, 30, ZERO), Put(6, 21, b"000000010000"), Put(11, 32, b"000000010500")][..], Reason::ZeroAmount),
        (&[Put(3, 2, b"28")], Reason::NonzeroPrenote),
        (&[Put(3, 2, b"29")], Reason::NonzeroPrenote),
    ] {
        let bytes = spoiled(&two_batches(), ways);
        let feed = originator();
        let file = feed.read(&bytes).unwrap();
        let found = feed.classifier(file.header(), MADE_ON).classify(&file.entries().next().unwrap());
        assert_eq!(reason(&found), Some(expected), "{ways:?}");
    }
}

#[test]
fn a_feed_takes_its_classes_and_companies_only() {
    for (sec, expected) in [(PPD, None), (SecCode::Web, None), (SecCode::Cie, Some(Reason::SecNotAccepted))] {
        assert_eq!(
            reason(&meaning(&originator(), &BatchSpec { sec, ..batch_spec() }, &entry_spec())),
            expected,
            "{sec}"
        );
    }
    let company_ids = vec!["1210428829".to_owned()];
    let feed = Feed::new(&FeedSettings { company_ids, ..settings(View::Originator) }).unwrap();
    assert_eq!(reason(&meaning(&feed, &batch_spec(), &entry_spec())), None);
    let other = BatchSpec { company_id: "121042882", ..batch_spec() };
    assert_eq!(reason(&meaning(&feed, &other, &entry_spec())), Some(Reason::CompanyNotAccepted));
}

#[test]
fn reversals_wait_for_a_person() {
    for description in ["REVERSAL", "reversal"] {
        let batch = BatchSpec { description, ..batch_spec() };
        assert_eq!(reason(&meaning(&originator(), &batch, &entry_spec())), Some(Reason::ReversalBatch));
    }
}

#[test]
fn a_ctx_entry_with_addenda_may_pay_several_loans() {
    let sec_codes = vec!["CTX".to_owned()];
    let feed = Feed::new(&FeedSettings { sec_codes, ..settings(View::Originator) }).unwrap();
    let batch = BatchSpec { sec: SecCode::Ctx, ..batch_spec() };
    assert_eq!(loan_of(&meaning(&feed, &batch, &entry_spec())), Some("LN-0000042"));
    let addenda = [AddendaSpec::Remittance("RMR*IV*1\\"), AddendaSpec::Remittance("RMR*IV*2\\")];
    let entry = EntrySpec { addenda: &addenda, ..entry_spec() };
    assert_eq!(reason(&meaning(&feed, &batch, &entry)), Some(Reason::ManyAddendaCtx));
}

#[test]
fn a_payment_counts_from_its_settlement_or_its_effective_entry_date() {
    let latest = day(2027, 1, 31);
    let effective = |date| BatchSpec { effective_entry_date: date, ..batch_spec() };
    let settled = |date, day| BatchSpec { settlement_day: Some(day), ..effective(Some(date)) };
    for (batch, expected) in [
        (effective(Some(MADE_ON)), Ok(MADE_ON)),
        (effective(None), Err(Reason::EffectiveDateMissing)),
        (BatchSpec { settlement_day: Some(128), ..effective(None) }, Err(Reason::EffectiveDateMissing)),
        (effective(Some(day(2026, 5, 7))), Err(Reason::EffectiveDatePast)),
        (effective(Some(day(2026, 5, 9))), Err(Reason::EffectiveDateWeekend)),
        (effective(Some(day(2026, 5, 10))), Err(Reason::EffectiveDateWeekend)),
        (effective(Some(day(2026, 5, 11))), Ok(day(2026, 5, 11))),
        (effective(Some(day(2027, 2, 1))), Err(Reason::FutureDated)),
        (settled(day(2026, 5, 7), 131), Ok(day(2026, 5, 11))),
        (settled(day(2026, 5, 9), 131), Ok(day(2026, 5, 11))),
        (settled(day(2026, 12, 31), 1), Ok(day(2027, 1, 1))),
        (settled(day(2027, 1, 2), 365), Ok(day(2026, 12, 31))),
        (settled(day(2026, 12, 31), 366), Err(Reason::SettlementDateWrong)),
        (settled(MADE_ON, 400), Err(Reason::SettlementDateWrong)),
        (settled(day(2027, 1, 29), 32), Err(Reason::FutureDated)),
    ] {
        let found = match meaning_on(&originator(), &batch, &entry_spec(), latest) {
            Meaning::Payment(payment) => Ok(payment.effective_date),
            Meaning::Exception(reason) => Err(reason),
            other @ (Meaning::Return(_) | Meaning::Change(_)) => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{batch:?}");
    }
}

#[test]
fn a_contract_may_count_from_the_effective_entry_date() {
    let date_rule = Some("effective_entry".to_owned());
    let feed = Feed::new(&FeedSettings { date_rule, ..settings(View::Originator) }).unwrap();
    let batch = BatchSpec { settlement_day: Some(131), ..batch_spec() };
    let Meaning::Payment(payment) = meaning(&feed, &batch, &entry_spec()) else { panic!("no payment") };
    assert_eq!(payment.effective_date, MADE_ON);
}

#[test]
fn a_loan_number_is_found_by_the_first_rule_that_fits() {
    let feed = |rules: &[&str]| {
        let loan_number = rules.iter().map(|rule| (*rule).to_owned()).collect();
        Feed::new(&FeedSettings { loan_number, ..settings(View::Receiver) }).unwrap()
    };
    let remittance = [AddendaSpec::Remittance("thank you, loan 4711")];
    let credit = EntrySpec { code: code(22), ..entry_spec() };
    let loan = EntrySpec { code: code(52), account: "00123456", ..entry_spec() };
    for (rules, entry, expected) in [
        (&["individual_id"][..], credit, Some("LN-0000042")),
        (&["individual_id"], EntrySpec { individual_id: "   7  ", ..credit }, Some("7")),
        (&["individual_id"], EntrySpec { individual_id: "000000000000000", ..credit }, None),
        (&["individual_id"], EntrySpec { individual_id: "", ..loan }, None),
        (&["individual_id", "account_number"], EntrySpec { individual_id: "", ..loan }, Some("00123456")),
        (&["account_number"], loan, Some("00123456")),
        (&["account_number"], credit, None),
        (&["addenda:loan"], credit, None),
        (&["addenda:loan"], EntrySpec { addenda: &remittance, ..credit }, Some("4711")),
        (&["addenda:loan", "individual_id"], credit, Some("LN-0000042")),
    ] {
        let found = meaning(&feed(rules), &batch_spec(), &entry);
        assert!(matches!(found, Meaning::Payment(_)), "{found:?}");
        assert_eq!(loan_of(&found), expected, "{rules:?} {entry:?}");
    }
}

#[test]
fn an_identification_stands_where_its_class_has_it() {
    let sec_codes = ["ARC", "CIE", "PPD", "SHR"].map(str::to_owned).to_vec();
    let feed = Feed::new(&FeedSettings { sec_codes, ..settings(View::Receiver) }).unwrap();
    let entry = EntrySpec { code: code(22), individual_id: "1001", name: "LN-0000042", ..entry_spec() };
    for (sec, expected) in [
        (PPD, Some("1001")),
        // Bill payers put the name first.
        (SecCode::Cie, Some("LN-0000042")),
        // The serial number of a check is no loan.
        (SecCode::Arc, None),
        (SecCode::Shr, None),
    ] {
        let found = meaning(&feed, &BatchSpec { sec, ..batch_spec() }, &entry);
        assert!(matches!(found, Meaning::Payment(_)), "{found:?}");
        assert_eq!(loan_of(&found), expected, "{sec}");
    }
}

#[test]
fn a_return_is_judged_by_its_code_and_direction() {
    let original_trace = Trace::new(odfi(), 17).unwrap();
    for (feed, number, amount, reason_code, expected) in [
        (originator(), 26, 88_849, "R01", None),
        (originator(), 36, 88_849, "R10", None),
        (originator(), 26, 88_849, "R85", None),
        (originator(), 27, 88_849, "R02", None),
        (originator(), 21, 88_849, "R02", Some(Reason::RefusedCredit)),
        (originator(), 21, 88_849, "R23", Some(Reason::RefusedCredit)),
        (originator(), 26, 88_849, "R44", Some(Reason::EnrolmentReturn)),
        (originator(), 26, 88_849, "R68", Some(Reason::DishonouredReturn)),
        (originator(), 26, 88_849, "R71", Some(Reason::ContestedReturn)),
        (originator(), 26, 0, "R03", Some(Reason::ZeroAmount)),
        (originator(), 46, 88_849, "R03", Some(Reason::GeneralLedgerAccount)),
        (originator(), 56, 88_849, "R03", Some(Reason::LoanDebit)),
        (receiver(), 21, 88_849, "R01", Some(Reason::ReturnNotExpected)),
    ] {
        let addenda = [AddendaSpec::Return { code: ReturnCode::parse(reason_code).unwrap(), original_trace }];
        let entry = EntrySpec { code: code(number), amount: Minor::new(amount), addenda: &addenda, ..entry_spec() };
        let found = meaning(&feed, &batch_spec(), &entry);
        assert_eq!(reason(&found), expected, "{number} {reason_code}");
    }
}

#[test]
fn a_return_says_what_it_undoes_and_what_it_costs() {
    let original_trace = Trace::new(odfi(), 17).unwrap();
    for (reason_code, settlement_day, booked_on, fee) in [
        ("R01", Some(128), Some(MADE_ON), Some(Minor::new(2500))),
        ("R09", None, None, Some(Minor::new(2500))),
        ("R03", Some(127), Some(day(2026, 5, 7)), None),
    ] {
        let return_code = ReturnCode::parse(reason_code).unwrap();
        let addenda = [AddendaSpec::Return { code: return_code, original_trace }];
        let entry = EntrySpec { code: code(26), addenda: &addenda, ..entry_spec() };
        // Returns of classes that are not taken as payments are taken all the same, and whatever their dates.
        let batch = BatchSpec { sec: SecCode::Pos, effective_entry_date: None, settlement_day, ..batch_spec() };
        let Meaning::Return(returned) = meaning(&originator(), &batch, &entry) else { panic!("no return") };
        assert_eq!((returned.code, returned.original_trace), (return_code, original_trace));
        assert_eq!((returned.amount.minor.units(), returned.account.trimmed()), (88_849, "744-5678-99"));
        assert_eq!((returned.booked_on, returned.fee), (booked_on, fee), "{reason_code}");
    }
}

#[test]
fn a_change_is_noted_and_a_refusal_waits() {
    let original_trace = Trace::new(odfi(), 17).unwrap();
    let batch = BatchSpec { sec: SecCode::Cor, ..batch_spec() };
    for (change_code, expected) in [("C01", None), ("C05", None), ("C62", Some(Reason::RefusedChange))] {
        let change = ChangeCode::parse(change_code).unwrap();
        let addenda = [AddendaSpec::Change { code: change, original_trace, corrected: "1918171614" }];
        let entry = EntrySpec { code: code(26), amount: Minor::ZERO, addenda: &addenda, ..entry_spec() };
        for feed in [originator(), receiver()] {
            let found = meaning(&feed, &batch, &entry);
            assert_eq!(reason(&found), expected, "{change_code}");
            assert_eq!(matches!(found, Meaning::Change(_)), expected.is_none());
        }
    }
}

#[test]
fn names_of_reasons_are_unique() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.name()), Some(*reason));
    }
    assert_eq!(Reason::parse("other"), None);
}

#[test]
fn numbers_of_every_rule_are_told_in_their_order() {
    let customers = vec![CustomerSetting {
        company_id: "1210428829".to_owned(),
        individual_id: "LN-*".to_owned(),
        loan_number: "0815".to_owned(),
    }];
    let feed = Feed::new(&FeedSettings { customers, ..settings(View::Originator) }).unwrap();
    let Meaning::Payment(payment) = meaning(&feed, &batch_spec(), &entry_spec()) else { panic!("no payment") };
    let numbers: Vec<&str> = payment.loan_numbers.iter().map(crate::core::event::LoanNumber::as_str).collect();
    assert_eq!(numbers, ["LN-0000042", "0815"]);
    assert_eq!(payment.effective_entry_date, Some(MADE_ON));
}

#[test]
fn a_holiday_is_no_day_to_settle() {
    let holidays = vec![MADE_ON.to_string()];
    let feed = Feed::new(&FeedSettings { holidays, ..settings(View::Originator) }).unwrap();
    let wished = meaning(&feed, &batch_spec(), &entry_spec());
    assert_eq!(reason(&wished), Some(Reason::EffectiveDateHoliday));
    let settled = meaning(&feed, &BatchSpec { settlement_day: Some(128), ..batch_spec() }, &entry_spec());
    assert_eq!(reason(&settled), None, "the operator's word goes before the calendar");
    let weekend = BatchSpec { effective_entry_date: Some(day(2026, 5, 9)), ..batch_spec() };
    let found = meaning_on(&feed, &weekend, &entry_spec(), day(2026, 5, 12));
    assert_eq!(reason(&found), Some(Reason::EffectiveDateWeekend));
}

#[test]
fn a_person_overrules_dates_and_rules_of_the_feed_and_nothing_else() {
    let company_ids = vec!["OTHER".to_owned()];
    let feed = Feed::new(&FeedSettings { company_ids, ..settings(View::Originator) }).unwrap();
    let credit = EntrySpec { code: code(22), ..entry_spec() };
    let prenote = EntrySpec { code: code(28), amount: Minor::ZERO, ..entry_spec() };
    let dateless = BatchSpec { effective_entry_date: None, ..batch_spec() };
    let arc = BatchSpec { sec: SecCode::Arc, ..batch_spec() };
    let reversal = BatchSpec { description: "REVERSAL", ..batch_spec() };
    for (batch, entry, date, expected) in [
        (batch_spec(), entry_spec(), None, Ok(MADE_ON)),
        (arc, entry_spec(), Some(day(2026, 5, 4)), Ok(day(2026, 5, 4))),
        (dateless, entry_spec(), None, Err(Reason::EffectiveDateMissing)),
        (dateless, entry_spec(), Some(day(2026, 5, 4)), Ok(day(2026, 5, 4))),
        (dateless, entry_spec(), Some(day(2026, 5, 9)), Err(Reason::FutureDated)),
        (batch_spec(), credit, Some(MADE_ON), Err(Reason::AgainstDirection)),
        (batch_spec(), prenote, Some(MADE_ON), Err(Reason::Prenote)),
        (reversal, entry_spec(), Some(MADE_ON), Err(Reason::ReversalBatch)),
    ] {
        let mut writer = Writer::new(&file_spec()).unwrap();
        writer.batch(&batch).unwrap();
        writer.entry(&entry).unwrap();
        let bytes = writer.finish().unwrap();
        let file = feed.read(&bytes).unwrap();
        let classifier = feed.classifier(file.header(), MADE_ON);
        let found = match classifier.overruled(date).classify(&file.entries().next().unwrap()) {
            Meaning::Payment(payment) => Ok(payment.effective_date),
            Meaning::Exception(reason) => Err(reason),
            Meaning::Return(_) | Meaning::Change(_) => panic!("{batch:?}"),
        };
        assert_eq!(found, expected, "{batch:?} {entry:?}");
    }
}
