//! Laws of bank statements: what stands under references, what a statement settles, and what a person decides.

use std::collections::HashMap;
use std::time::Duration;

use chrono::NaiveDate;
use hpts::core::bank::{
    BankAccountRef, Found, LineMatch, OpenReason, Standing, StatementHead, StatementLine, match_lines,
};
use hpts::core::event::{
    BankSettlement, CashFlow, Command, EarlierEvent, IdempotencyKey, NewEvent, ServicingAct, Upload, UploadOperation,
};
use hpts::core::ids::{EventId, KeyHash, LoanKey, PaymentBatchId};
use hpts::core::ledger::{AccountCode, Outcome};
use hpts::core::money::{Currency, Minor, Money};
use hpts::store::{
    BankCheck, LineDecided, LinePlace, LineState, NewLineResolution, NewStatement, NewStatementLine, NewUpload,
    ReconciliationQuestion, Reference, StatementAccepted, StatementsFilter, Sum, UploadBegun, UploadRef, Wanted,
    WholeUpload,
};
use hpts::store::{RowCounts, UploadEnd, WholeAccepted};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, day, next_id};

const ACCOUNT: &str = "OPERATING-1";

fn operation(books: &Books, key: &str, operation: UploadOperation) -> NewUpload {
    let upload = Upload { operation, currency: Currency::USD, received_on: day(5, 1) };
    let key = IdempotencyKey::parse(key).unwrap();
    let event = NewEvent::of_upload(next_id(), books.tenant, key, upload, books.publisher, "tester".to_owned());
    NewUpload { event, holder: Uuid::new_v4(), lease: Duration::from_mins(1), file: None }
}

fn line(line_no: i64, date: NaiveDate, amount: i64, reference: Option<&str>) -> StatementLine {
    let reference = reference.map(str::to_owned);
    StatementLine { line_no, booking_date: date, amount: Minor::new(amount), reference, description: None }
}

async fn found(books: &Books, texts: &[&str]) -> HashMap<String, Vec<Found>> {
    let reference = |text: &&str| Reference {
        text: (*text).to_owned(),
        id: EventId::parse(text).ok(),
        key: IdempotencyKey::parse(text).ok().map(|key| KeyHash::of_caller_key(books.tenant, key.as_str())),
    };
    let references = texts.iter().map(reference).collect();
    let mut found: HashMap<String, Vec<Found>> = HashMap::new();
    for (text, event) in books.store.events_of_references(books.tenant, Currency::USD, references).await.unwrap() {
        found.entry(text).or_default().push(event);
    }
    found
}

fn settlement(books: &Books, statement: PaymentBatchId, line: &StatementLine, account: AccountCode) -> NewEvent {
    let flow = if line.amount.is_negative() { CashFlow::Out } else { CashFlow::In };
    let settlement = BankSettlement {
        loan_id: BankSettlement::loan_of(books.tenant, ACCOUNT),
        amount: Money::new(Minor::new(line.amount.units().abs()), Currency::USD),
        flow,
        account,
        settles: None,
        effective_date: line.booking_date,
        external_ref: None,
    };
    let of_line = (account != AccountCode::OPENING_BALANCES).then_some(line.line_no);
    let key = of_line.map_or_else(|| "bank:opening".to_owned(), |line_no| format!("bank:{statement}:{line_no}"));
    let (key, actor) = (IdempotencyKey::parse(&key).unwrap(), "tester".to_owned());
    let event = NewEvent::of_bank_settlement(next_id(), books.tenant, key, settlement, books.publisher, actor);
    if let Some(line_no) = of_line { event.in_batch(statement, line_no) } else { event }
}

/// A statement with what its lines are, as acceptance makes it.
async fn statement(
    books: &Books,
    key: &str,
    (date, opening): (NaiveDate, i64),
    lines: &[StatementLine],
) -> NewStatement {
    let sums: i64 = lines.iter().map(|line| line.amount.units()).sum();
    let head = StatementHead {
        bank_account_ref: BankAccountRef::parse(ACCOUNT).unwrap(),
        currency: Currency::USD,
        statement_date: date,
        opening_balance: Minor::new(opening),
        closing_balance: Minor::new(opening + sums),
    };
    let sha256 = [u8::try_from(lines.len()).unwrap(); 32];
    let what = UploadOperation::BankStatement {
        bank_account_ref: ACCOUNT.to_owned(),
        statement_date: date,
        sha256: format!("{sha256:?}"),
    };
    let upload = operation(books, key, what);
    let id = PaymentBatchId(upload.event.id.0);
    let texts: Vec<&str> = lines.iter().filter_map(|line| line.reference.as_deref()).collect();
    let matches = match_lines(lines, &found(books, &texts).await);
    let new = |(line, found): (&StatementLine, LineMatch)| NewStatementLine {
        line: line.clone(),
        found,
        settlement: match found {
            LineMatch::Clears(_) => Some(settlement(books, id, line, AccountCode::PAYMENT_CLEARING)),
            LineMatch::Matches(_) | LineMatch::Open(_) => None,
        },
    };
    let opens = line(1, date, opening, None);
    let opening = (opening != 0).then(|| settlement(books, id, &opens, AccountCode::OPENING_BALANCES));
    let lines = lines.iter().zip(matches).map(new).collect();
    let answer = b"taken".to_vec();
    NewStatement { upload, publisher: books.publisher, head, sha256, lines, opening, answer }
}

/// Accepts a statement and posts what it settles.
async fn taken(books: &Books, new: NewStatement) -> UploadRef {
    let id = PaymentBatchId(new.upload.event.id.0);
    let accepted = books.store.accept_statement(new).await.unwrap();
    let StatementAccepted::New(places) = accepted else { panic!("{accepted:?}") };
    let loan_key = LoanKey::of_loan(books.tenant, BankSettlement::loan_of(books.tenant, ACCOUNT));
    let wanted: Vec<Wanted> = places.into_iter().map(|(id, seq)| Wanted { seq, id, loan_key }).collect();
    let posted = books.post(&wanted).await;
    assert_eq!(posted.posted.len(), wanted.len(), "{posted:?}");
    assert!(posted.posted.iter().all(|(_, posting)| posting.outcome == Outcome::Posted), "{posted:?}");
    UploadRef { tenant: books.tenant, id }
}

async fn checks(books: &Books, date: NaiveDate) -> Vec<BankCheck> {
    let question = ReconciliationQuestion { tenant: books.tenant, currency: Currency::USD, as_of: date };
    let checks = books.store.bank_checks(question).await.unwrap();
    let run = books.store.reconcile(vec![question]).await.unwrap().remove(0);
    assert_eq!(run.findings.banks, checks, "a run compares the same");
    checks
}

fn check(date: NaiveDate, closing: i128, cash: i128, (open_lines, open): (i64, i128)) -> BankCheck {
    BankCheck {
        bank_account_ref: ACCOUNT.to_owned(),
        statement_date: date,
        closing: Sum(closing),
        cash: Sum(cash),
        open_lines,
        open: Sum(open),
    }
}

/// A loan with a payment of 1000 on 1 May under a key.
async fn paid(fixture: &impl Fixture) -> (Books, Wanted) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 100_000])]).await;
    let payment = books.book(vec![books.payment_keyed("paid:0001", 1, 1000)]).await.remove(0);
    (books, payment)
}

/// An upload of two payments of loan 1, not posted yet.
async fn uploaded(books: &Books, key: &str, amounts: [i64; 2]) -> (PaymentBatchId, Vec<Wanted>) {
    let upload = operation(books, key, UploadOperation::AchFeed { settings: String::new() });
    let id = PaymentBatchId(upload.event.id.0);
    let rows = (1..).zip(amounts).map(|(row_no, amount)| books.payment(1, amount).in_batch(id, row_no)).collect();
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [1; 32], answer: Vec::new() };
    let whole = WholeUpload { upload, publisher: books.publisher, rows, end };
    let accepted = books.store.accept_whole(whole).await.unwrap();
    let WholeAccepted::All(places) = accepted else { panic!("{accepted:?}") };
    let loan_key = books.key(1);
    (id, places.into_iter().map(|(id, seq)| Wanted { seq, id, loan_key }).collect())
}

/// One cash: of an upload and one of its rows, one line has it, in one statement, in two, at once and by hand.
pub(crate) async fn an_upload_and_its_rows_are_one_cash(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let mut uploads = Vec::new();
    for key in ["upload:0001", "upload:0002", "upload:0003"] {
        let (id, wanted) = uploaded(&books, key, [30, 12]).await;
        books.post(&wanted).await;
        uploads.push((id.to_string(), wanted));
    }
    let row_of = |upload: usize, row: usize| uploads[upload].1[row].id.to_string();
    // A row in an earlier statement.
    let named = [line(1, day(5, 2), 30, Some(&row_of(0, 0)))];
    let first = taken(&books, statement(&books, "stmt:0001", (day(5, 2), 0), &named).await).await;
    let is_taken = LineMatch::Open(OpenReason::AlreadyMatched);
    let named = [
        line(1, day(5, 3), 42, Some("upload:0001")),
        line(2, day(5, 3), 12, Some(&row_of(0, 1))),
        line(3, day(5, 3), 42, Some("upload:0002")),
    ];
    let second = statement(&books, "stmt:0002", (day(5, 3), 30), &named).await;
    let found: Vec<_> = second.lines.iter().map(|line| line.found).collect();
    assert!(found[0] == is_taken && found[1].event().is_some() && found[2].event().is_some(), "{found:?}");
    let second = taken(&books, second).await;
    let standing = &found_of(&books, &row_of(1, 1)).await;
    assert!(matches!(standing, Standing::Posted { is_matched: true, .. }), "a line has its upload: {standing:?}");

    // By hand, as it was seen before the other line had the cash.
    let place = LinePlace { statement: second.id, line_no: 1 };
    for (key, event) in [("line:0001", EventId::parse(&uploads[0].0).unwrap()), ("line:0002", uploads[1].1[0].id)] {
        let met = books.store.resolve_line(resolution(&books, key, place, (Some(event), None))).await.unwrap();
        assert!(matches!(met, LineDecided::EventTaken), "{key}: {met:?}");
    }
    // Two statements at once, of which one names the upload and the other its rows.
    let whole = [line(1, day(5, 4), 42, Some("upload:0003"))];
    let parts = [line(1, day(5, 5), 12, Some(&row_of(2, 1))), line(2, day(5, 5), 30, Some(&row_of(2, 0)))];
    let whole = statement(&books, "stmt:0003", (day(5, 4), 114), &whole).await;
    let parts = statement(&books, "stmt:0004", (day(5, 5), 156), &parts).await;
    let (whole, parts) = tokio::join!(books.store.accept_statement(whole), books.store.accept_statement(parts));
    let met = [whole.unwrap(), parts.unwrap()];
    let has = |is: fn(&StatementAccepted) -> bool| met.iter().filter(|met| is(met)).count();
    let (new, disturbed) =
        (has(|met| matches!(met, StatementAccepted::New(_))), has(|met| matches!(met, StatementAccepted::Disturbed)));
    assert_eq!((new, disturbed), (1, 1), "{met:?}");
    assert_eq!(books.store.statement_lines(first, 0, 10).await.unwrap()[0].state, LineState::Cleared);
}

/// An exception that is posted after the line of its file is cash that this line did not have.
pub(crate) async fn a_row_after_its_uploads_line_has_its_own(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let (id, wanted) = uploaded(&books, "upload:0001", [120, 80]).await;
    books.post(&wanted).await;
    let whole = [line(1, day(5, 2), 200, Some("upload:0001"))];
    taken(&books, statement(&books, "stmt:0001", (day(5, 2), 0), &whole).await).await;
    let late = books.book(vec![books.payment_keyed("late:0001", 1, 100).in_batch(id, 3)]).await.remove(0);
    let row = wanted[0].id.to_string();
    let named = [
        line(1, day(5, 3), 100, Some("late:0001")),
        line(2, day(5, 3), 120, Some(&row)),
        line(3, day(5, 3), 300, Some("upload:0001")),
    ];
    let second = statement(&books, "stmt:0002", (day(5, 3), 200), &named).await;
    let is_taken = LineMatch::Open(OpenReason::AlreadyMatched);
    let told: Vec<_> = second.lines.iter().map(|line| line.found).collect();
    assert_eq!(told, [LineMatch::Clears(late.id), is_taken, is_taken]);
    taken(&books, second).await;
    let standing = found_of(&books, "late:0001").await;
    assert!(matches!(standing, Standing::Posted { is_matched: true, .. }), "{standing:?}");
    prove(&books.store).await;
}

async fn found_of(books: &Books, text: &str) -> Standing {
    found(books, &[text]).await[text][0].standing
}

/// Cash that an event booked and a reversal took back is not at the bank, until the reversal has a line of its own.
pub(crate) async fn what_is_taken_back_counts_in_the_comparison(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let lent = books.book(vec![books.disbursement_on(1, 70, day(5, 1))]).await.remove(0);
    let act = ServicingAct::DisbursementSettled { disbursement: EarlierEvent { id: lent.id, seq: lent.seq } };
    let sent = books.book(vec![books.servicing(1, act, None, day(5, 1))]).await.remove(0);
    let named = [line(1, day(5, 2), -70, Some(&sent.id.to_string()))];
    taken(&books, statement(&books, "stmt:0001", (day(5, 2), 100), &named).await).await;
    assert_eq!(checks(&books, day(5, 2)).await, [check(day(5, 2), 30, 30, (0, 0))]);
    let undo = books.reversal_of(1, &sent, day(5, 3)).await;
    let back = books.book(vec![undo]).await.remove(0);
    assert_eq!(books.record(&back).await.posting.unwrap().outcome, Outcome::Posted);
    let told = checks(&books, day(5, 2)).await;
    assert_eq!(told, [check(day(5, 2), 30, 100, (0, 0))], "the ledger has it back");
    assert!(!told[0].is_reconciled());
    let named = [line(1, day(5, 4), 70, Some(&back.id.to_string()))];
    taken(&books, statement(&books, "stmt:0002", (day(5, 4), 30), &named).await).await;
    assert_eq!(checks(&books, day(5, 2)).await, [check(day(5, 2), 30, 30, (0, 0))], "as of the day before");
    assert_eq!(checks(&books, day(5, 4)).await, [check(day(5, 4), 100, 100, (0, 0))]);
    prove(&books.store).await;
}

pub(crate) async fn references_name_events_by_id_by_key_and_by_upload(fixture: &impl Fixture) {
    let (books, payment) = paid(fixture).await;
    let lent = books.book(vec![books.disbursement_on(1, 70, day(5, 1))]).await.remove(0);
    let disbursement = EarlierEvent { id: lent.id, seq: lent.seq };
    let act = ServicingAct::DisbursementSettled { disbursement };
    let sent = books.book(vec![books.servicing(1, act, None, day(5, 2))]).await.remove(0);
    let waits = books.accept(vec![books.payment_keyed("waits:0001", 1, 5)]).await.remove(0);
    books.book(vec![books.payment_keyed("refused:0001", 9, 5)]).await;

    let (id, wanted) = uploaded(&books, "upload:0001", [30, 12]).await;
    let (upload, id) = (id.to_string(), payment.id.to_string());
    let of = |clearing, cash| Standing::Posted { clearing, cash, is_matched: false };
    let standing = |found: &HashMap<String, Vec<Found>>, text: &str| found.get(text).map(|found| found[0].standing);
    let sent_id = sent.id.to_string();
    let texts = [id.as_str(), "paid:0001", &sent_id, "waits:0001", "refused:0001", "nobody:0001", &upload, "short"];
    let before = found(&books, &texts).await;
    assert_eq!(standing(&before, &id), Some(of(1000, 0)));
    assert_eq!(before["paid:0001"], before[&id]);
    assert_eq!(standing(&before, &sent_id), Some(of(0, -70)));
    assert_eq!(standing(&before, "refused:0001"), Some(Standing::Rejected));
    assert_eq!((before.get("nobody:0001"), before.get("short")), (None, None));
    assert_eq!(standing(&before, &upload), Some(Standing::Unfinished), "a row of it is not posted");
    assert_eq!(standing(&before, "waits:0001"), Some(Standing::Unfinished));
    books.post(&[wanted, vec![waits]].concat()).await;
    let after = found(&books, &[&upload, "upload:0001", "waits:0001"]).await;
    assert_eq!(standing(&after, &upload), Some(of(42, 0)), "all its rows together");
    assert_eq!(
        (after["upload:0001"].clone(), standing(&after, "waits:0001")),
        (after[&upload].clone(), Some(of(5, 0)))
    );

    let others = Books::open(fixture.store(), 2).await;
    assert!(found(&others, &texts).await.is_empty(), "another tenant's");
    let euros = Reference { text: id.clone(), id: Some(payment.id), key: None };
    let eur = "EUR".parse().unwrap();
    let euros = books.store.events_of_references(books.tenant, eur, vec![euros]).await.unwrap();
    assert_eq!(euros[0].1.standing, Standing::OtherCurrency);
    prove(&books.store).await;
}

pub(crate) async fn a_statement_moves_clearing_to_cash(fixture: &impl Fixture) {
    let (books, payment) = paid(fixture).await;
    assert!(checks(&books, day(5, 31)).await.is_empty());
    let lines = [line(1, day(5, 2), 1000, Some("paid:0001")), line(2, day(5, 1), -3, None)];
    let new = statement(&books, "stmt:0001", (day(5, 2), 50), &lines).await;
    let first = taken(&books, new).await;
    assert_eq!(checks(&books, day(5, 1)).await, [], "no statement by that day");
    let expected = check(day(5, 2), 1047, 1050, (1, -3));
    assert_eq!(checks(&books, day(5, 31)).await, std::slice::from_ref(&expected));
    assert!(!expected.is_reconciled() && expected.difference() == -3);
    let rows = books.store.statement_lines(first, 0, 10).await.unwrap();
    assert_eq!((rows[0].state, rows[0].matched_event), (LineState::Cleared, Some(payment.id)));
    assert_eq!((rows[1].state, rows[1].open_reason.as_deref()), (LineState::Open, Some("no_reference")));
    let settled = books.store.event(books.tenant, rows[0].settlement_event.unwrap()).await.unwrap().unwrap();
    let entry = settled.posting.unwrap().entry.unwrap();
    let told: Vec<_> = entry.lines().iter().map(|line| (line.account.number(), line.signed.units())).collect();
    assert_eq!(told, [(1000, 1000), (1010, -1000)]);

    // A later statement of the account books no opening balance again.
    let next = statement(&books, "stmt:0002", (day(5, 3), 1047), &[line(1, day(5, 3), 9, None)]).await;
    let next = taken(&books, next).await;
    assert_eq!(checks(&books, day(5, 2)).await, [expected], "as of the day before");
    assert_eq!(checks(&books, day(5, 31)).await, [check(day(5, 3), 1056, 1050, (2, 6))]);
    let listed =
        books.store.bank_statements(books.tenant, StatementsFilter { limit: 10, ..StatementsFilter::default() });
    let listed = listed.await.unwrap();
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [first.id, next.id]);
    assert_eq!((listed[0].line_count, listed[0].open_lines, listed[0].open_sum), (2, 1, -3));
    let after = Some((day(5, 2), ACCOUNT.to_owned()));
    let filter = StatementsFilter { after, limit: 10, ..StatementsFilter::default() };
    assert_eq!(books.store.bank_statements(books.tenant, filter).await.unwrap(), listed[1..]);
    let open = books.store.open_lines(books.tenant, None, 10).await.unwrap();
    assert_eq!(open.iter().map(|row| row.line.amount.units()).collect::<Vec<_>>(), [-3, 9]);
    let place = LinePlace { statement: open[0].statement, line_no: open[0].line.line_no };
    assert_eq!(books.store.open_lines(books.tenant, Some(place), 10).await.unwrap(), open[1..]);
    let run = books
        .store
        .reconcile(vec![ReconciliationQuestion { tenant: books.tenant, currency: Currency::USD, as_of: day(5, 31) }])
        .await
        .unwrap()
        .remove(0);
    assert!(run.findings.is_ok() && run.findings.told().is_empty(), "open lines are ordinary work: {run:?}");
    let open: Vec<_> = run.findings.open_banks().map(BankCheck::told).collect();
    assert_eq!(open, ["OPERATING-1 on 2026-05-03: 1056 at the bank, 1050 in the ledger; 2 open lines of 6"]);
    prove(&books.store).await;
}

pub(crate) async fn a_statement_is_kept_once(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let lines = [line(1, day(5, 2), 1000, Some("paid:0001"))];
    let first = statement(&books, "stmt:0001", (day(5, 2), 0), &lines).await;
    let id = PaymentBatchId(first.upload.event.id.0);
    taken(&books, first.clone()).await;
    let before = fixture.count("events").await;
    let repeated = NewStatement { upload: operation(&books, "stmt:0001", upload_of(&first)), ..first.clone() };
    let known = books.store.accept_statement(repeated).await.unwrap();
    assert!(matches!(&known, StatementAccepted::Known(UploadBegun::Complete(record)) if record.id == id), "{known:?}");
    let same = NewStatement { upload: operation(&books, "stmt:0002", upload_of(&first)), ..first.clone() };
    let met = books.store.accept_statement(same).await.unwrap();
    assert!(matches!(met, StatementAccepted::Same(known) if known == id), "{met:?}");
    let other = statement(&books, "stmt:0003", (day(5, 2), 0), &[]).await;
    let met = books.store.accept_statement(other.clone()).await.unwrap();
    assert!(matches!(met, StatementAccepted::Conflict(known) if known == id), "{met:?}");
    let earlier = statement(&books, "stmt:0004", (day(5, 1), 0), &[]).await;
    let met = books.store.accept_statement(earlier).await.unwrap();
    assert!(matches!(met, StatementAccepted::BeforeFirst(first) if first == day(5, 2)), "{met:?}");
    let mut euros = statement(&books, "stmt:0005", (day(5, 3), 0), &[]).await;
    euros.head.currency = "EUR".parse().unwrap();
    let met = books.store.accept_statement(euros).await.unwrap();
    assert!(matches!(met, StatementAccepted::OtherCurrency(Currency::USD)), "{met:?}");
    assert_eq!(fixture.count("events").await, before, "none of it stays");
    let kept = books.store.statement_of(books.tenant, ACCOUNT, day(5, 2)).await.unwrap();
    assert_eq!(kept, Some((id, first.sha256)));
    prove(&books.store).await;
}

fn upload_of(statement: &NewStatement) -> UploadOperation {
    let Command::Upload(upload) = &statement.upload.event.command else { panic!("a statement is an upload") };
    upload.operation.clone()
}

pub(crate) async fn of_two_statements_with_one_event_one_has_it(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let lines = [line(1, day(5, 2), 1000, Some("paid:0001"))];
    let first = statement(&books, "stmt:0001", (day(5, 2), 0), &lines).await;
    let second = statement(&books, "stmt:0002", (day(5, 3), 0), &lines).await;
    let (first, second) = tokio::join!(books.store.accept_statement(first), books.store.accept_statement(second));
    let met = [first.unwrap(), second.unwrap()];
    let has = |is: fn(&StatementAccepted) -> bool| met.iter().filter(|met| is(met)).count();
    let disturbed = has(|met| matches!(met, StatementAccepted::Disturbed | StatementAccepted::BeforeFirst(_)));
    assert_eq!((has(|met| matches!(met, StatementAccepted::New(_))), disturbed), (1, 1), "{met:?}");
    let again = statement(&books, "stmt:0003", (day(5, 4), 0), &lines).await;
    assert_eq!(again.lines[0].found, LineMatch::Open(OpenReason::AlreadyMatched));
    let settled = books.store.accept_statement(again).await.unwrap();
    assert!(matches!(&settled, StatementAccepted::New(places) if places.is_empty()), "{settled:?}");
    assert_eq!(fixture.count("bank_statement_lines").await, 2);
}

fn resolution(
    books: &Books,
    key: &str,
    place: LinePlace,
    (matched_event, settlement): (Option<EventId>, Option<NewEvent>),
) -> NewLineResolution {
    let what = UploadOperation::BankLineResolution {
        statement_id: place.statement,
        line_no: place.line_no,
        target: format!("{matched_event:?}").into(),
        reason: "seen".into(),
    };
    NewLineResolution {
        upload: operation(books, key, what),
        publisher: books.publisher,
        place,
        matched_event,
        settlement,
        reason: "seen".to_owned(),
        answer: b"decided".to_vec(),
    }
}

pub(crate) async fn an_open_line_ends_once(fixture: &impl Fixture) {
    let (books, payment) = paid(fixture).await;
    let lines = [line(1, day(5, 2), 1000, Some("typo:0001")), line(2, day(5, 2), -3, None)];
    let new = statement(&books, "stmt:0001", (day(5, 2), 0), &lines).await;
    let statement = taken(&books, new).await;
    let place = |line_no| LinePlace { statement: statement.id, line_no };
    let clears = || settlement(&books, statement.id, &lines[0], AccountCode::PAYMENT_CLEARING);
    let first = resolution(&books, "line:0001", place(1), (Some(payment.id), Some(clears())));
    let second = resolution(&books, "line:0002", place(1), (Some(payment.id), Some(clears())));
    let (first, second) = tokio::join!(books.store.resolve_line(first), books.store.resolve_line(second));
    let met = [first.unwrap(), second.unwrap()];
    let decided = met.iter().find_map(|met| if let LineDecided::Decided(place) = met { Some(*place) } else { None });
    let Some(Some((id, seq))) = decided else { panic!("{met:?}") };
    assert_eq!(met.iter().filter(|met| matches!(met, LineDecided::NotOpen(LineState::Cleared))).count(), 1, "{met:?}");
    let loan_key = LoanKey::of_loan(books.tenant, BankSettlement::loan_of(books.tenant, ACCOUNT));
    books.post(&[Wanted { seq, id, loan_key }]).await;

    let taken_event = resolution(&books, "line:0003", place(2), (Some(payment.id), None));
    let met = books.store.resolve_line(taken_event).await.unwrap();
    assert!(matches!(met, LineDecided::EventTaken), "{met:?}");
    let expense = AccountCode::parse("5200").unwrap();
    let by_hand = (None, Some(settlement(&books, statement.id, &lines[1], expense)));
    let met = books.store.resolve_line(resolution(&books, "line:0003", place(2), by_hand.clone())).await.unwrap();
    let LineDecided::Decided(Some((id, seq))) = met else { panic!("{met:?}") };
    books.post(&[Wanted { seq, id, loan_key }]).await;
    let repeated = books.store.resolve_line(resolution(&books, "line:0003", place(2), by_hand)).await.unwrap();
    assert!(matches!(repeated, LineDecided::Known(UploadBegun::Complete(_))), "{repeated:?}");
    let gone = resolution(&books, "line:0004", place(3), (Some(EventId(Uuid::from_u128(2))), None));
    assert!(matches!(books.store.resolve_line(gone).await.unwrap(), LineDecided::Gone));
    let others = Books::open(fixture.store(), 2).await;
    let theirs = resolution(&others, "line:0001", place(2), (Some(EventId(Uuid::from_u128(2))), None));
    assert!(matches!(others.store.resolve_line(theirs).await.unwrap(), LineDecided::Gone));

    let rows = books.store.statement_lines(statement, 0, 10).await.unwrap();
    let states: Vec<_> = rows.iter().map(|row| (row.state, row.resolved.as_ref().map(|it| it.by.clone()))).collect();
    let by = Some("tester".to_owned());
    assert_eq!(states, [(LineState::Cleared, by.clone()), (LineState::Posted, by)]);
    assert_eq!(checks(&books, day(5, 2)).await, [check(day(5, 2), 997, 997, (0, 0))]);
    prove(&books.store).await;
}

pub(crate) async fn another_tenant_reads_no_statement(fixture: &impl Fixture) {
    let (books, _) = paid(fixture).await;
    let lines = [line(1, day(5, 2), 1000, Some("paid:0001")), line(2, day(5, 2), 1, None)];
    let new = statement(&books, "stmt:0001", (day(5, 2), 0), &lines).await;
    let statement = taken(&books, new).await;
    let others = Books::open(fixture.store(), 2).await;
    let theirs = UploadRef { tenant: others.tenant, ..statement };
    let store = &others.store;
    assert_eq!(store.bank_statement(theirs).await.unwrap(), None);
    assert_eq!(store.statement_lines(theirs, 0, 10).await.unwrap(), []);
    assert_eq!(store.open_lines(others.tenant, None, 10).await.unwrap(), []);
    assert_eq!(store.statement_of(others.tenant, ACCOUNT, day(5, 2)).await.unwrap(), None);
    let filter = StatementsFilter { limit: 10, ..StatementsFilter::default() };
    assert_eq!(store.bank_statements(others.tenant, filter).await.unwrap(), []);
    assert_eq!(checks(&others, day(5, 31)).await, []);
    let own = self::statement(&others, "stmt:0001", (day(5, 2), 0), &[line(1, day(5, 2), 7, None)]).await;
    let met = store.accept_statement(own).await.unwrap();
    assert!(matches!(&met, StatementAccepted::New(places) if places.is_empty()), "{met:?}");
    assert_eq!(checks(&others, day(5, 31)).await, [check(day(5, 2), 7, 0, (1, 7))]);
    let currencies = store.ledger_currencies().await.unwrap();
    assert!(currencies.contains(&(others.tenant, Currency::USD)), "a run looks at what has no total yet");
}
