//! Owns which part of their past is read of the loans of a batch, the same in every store. A store has the statements.
//!
//! - **Histories**: of a loan with a late event, what it was posted from that event's day on, or from that of a payment
//!   which was charged back since.
//! - **What interest is computed from**: the principal by day and the accruals, of what counts from before a day: for an
//!   accrual of the day before it, or for a replay from it on. Most loans have a mark in front of that day: of them only the
//!   postings since are read. The whole past is read of the others, and where the mark does not hold.
//! - **Receipts**: of a loan with a late fee that says what was late, what came in since the first day that counts.
//!
//! Most batches ask for none of this, and cost no statement then.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{
    History, LoanWork, Posting, Receipts, computing_group, earliest_late, needs_receipts, reaches_back_to,
};
use crate::core::loan::{AccrualBook, AccrualMark, InterestRule, LoanState};
use crate::core::money::Minor;
use crate::store::StoreError;

/// For each loan a day.
pub(crate) type Days = BTreeMap<LoanKey, NaiveDate>;

/// What loans were posted, each in the order of its versions.
pub(crate) type Rows = BTreeMap<LoanKey, Vec<(AcceptedEvent, Posting)>>;

/// By what rule the interest of a group is computed that is only imagined, and at which place it would stand: no row says
/// so.
pub(crate) type ImaginedRule = Option<(Seq, InterestRule)>;

/// What the interest of loans is computed from.
pub(crate) type Books = BTreeMap<LoanKey, AccrualBook>;

/// A loan, how far it is accrued, and behind which of its postings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked {
    /// The loan.
    pub(crate) loan: LoanKey,
    /// The posting.
    pub(crate) version: i64,
    /// The mark.
    pub(crate) mark: AccrualMark,
}

/// The postings of a loan behind one of them that count from before a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    /// The loan.
    pub(crate) loan: LoanKey,
    /// The posting.
    pub(crate) version: i64,
    /// The day.
    pub(crate) until: NaiveDate,
}

/// What a posting is to the interest of its loan, or several of a day together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// The loan.
    pub(crate) loan: LoanKey,
    /// The day it counts from.
    pub(crate) date: NaiveDate,
    /// What it moved of principal.
    pub(crate) principal: Minor,
    /// Whether it is an accrual that stands; behind a mark, whether it may be one, or take one back.
    pub(crate) accrues: bool,
}

/// The reads of loans' pasts, inside a transaction that keeps them still. None is called for no loan.
#[async_trait]
pub(crate) trait PastReads: Send {
    /// What stands in the books of loans, of each what counts from its day on.
    async fn postings_since(&mut self, since: &Days) -> Result<Rows, StoreError>;

    /// The parents of groups.
    async fn parents(&mut self, groups: &BTreeSet<Seq>) -> Result<Vec<AcceptedEvent>, StoreError>;

    /// The last mark of each loan that reaches no further than its day; loans without one are left out.
    async fn marks(&mut self, until: &Days) -> Result<Vec<Marked>, StoreError>;

    /// What came behind marks.
    async fn moved_behind(&mut self, marks: &[Behind]) -> Result<Vec<Moved>, StoreError>;

    /// All that moved principal before a day, and the accruals; of these the last of a loan at least.
    async fn moved_before(&mut self, until: &Days) -> Result<Vec<Moved>, StoreError>;
}

/// A loan with its events of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'b> {
    /// The loan.
    pub(crate) key: LoanKey,
    /// As it stands; `None` where there is none.
    pub(crate) state: Option<&'b LoanState>,
    /// Its events, in order.
    pub(crate) events: &'b [AcceptedEvent],
}

impl<'b> From<&'b LoanWork> for Asking<'b> {
    fn from(work: &'b LoanWork) -> Self {
        Self { key: work.key, state: work.state.as_ref(), events: &work.events }
    }
}

/// The history of each loan that has a late event in the batch.
///
/// # Errors
/// The store is away, or a row is unreadable.
pub(crate) async fn read_histories<'b>(
    reads: &mut impl PastReads,
    loans: impl Iterator<Item = Asking<'b>> + Send,
    imagined: ImaginedRule,
) -> Result<BTreeMap<LoanKey, History>, StoreError> {
    let late = loans.filter_map(|asking| Some((asking, earliest_late(asking.state?, asking.events)?)));
    let late: Vec<(Asking<'b>, NaiveDate)> = late.collect();
    let mut reached: Days = late.iter().map(|(asking, date)| (asking.key, *date)).collect();
    let (mut since, mut rows) = (reached.clone(), Rows::new());
    // Of loans with payments that were charged back, the payments as well; each step reaches further back.
    while !since.is_empty() {
        rows.extend(reads.postings_since(&since).await?);
        let further = |(key, since): (LoanKey, NaiveDate)| Some((key, reaches_back_to(rows.get(&key)?, since)?));
        since = since.into_iter().filter_map(further).collect();
        reached.extend(&since);
    }
    let computing = |asking: &Asking<'b>| {
        let posted = rows.get(&asking.key).into_iter().flatten().map(|(event, _)| event);
        computing_group(posted.chain(asking.events)).map(|group| (asking.key, group))
    };
    let computing: BTreeMap<LoanKey, Seq> = late.iter().filter_map(|(asking, _)| computing(asking)).collect();
    let mut before = read_before(reads, (&computing, imagined), &reached).await?;
    let history = |key: LoanKey| {
        let history = History::new(rows.remove(&key).unwrap_or_default());
        match before.remove(&key) {
            Some((rule, before)) => (key, history.with_accruals(rule, before)),
            None => (key, history),
        }
    };
    Ok(late.iter().map(|(asking, _)| asking.key).map(history).collect())
}

/// By what rule the interest of late loans is computed, as their groups say, and from what before the first day of their
/// histories.
async fn read_before(
    reads: &mut impl PastReads,
    (computing, imagined): (&BTreeMap<LoanKey, Seq>, ImaginedRule),
    reached: &Days,
) -> Result<BTreeMap<LoanKey, (InterestRule, AccrualBook)>, StoreError> {
    if computing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rule_of = |parent: AcceptedEvent| {
        let Command::Group(group) = &parent.event.command else { return None };
        group.operation.interest_rule().map(|rule| (parent.seq, *rule))
    };
    let parents = reads.parents(&computing.values().copied().collect()).await?;
    let rules: BTreeMap<Seq, InterestRule> = parents.into_iter().filter_map(rule_of).chain(imagined).collect();
    let until: Days = computing.keys().filter_map(|key| Some((*key, *reached.get(key)?))).collect();
    let mut books = read_books(reads, &until).await?;
    let found = computing.iter().filter_map(|(key, group)| Some((*key, (*rules.get(group)?, books.remove(key)?))));
    Ok(found.collect())
}

/// What the interest of each loan is computed from that an event in order accrues by the program's rule: loans without a
/// history.
///
/// # Errors
/// The store is away, or a row is unreadable.
pub(crate) async fn read_accruals<'b>(
    reads: &mut impl PastReads,
    in_order: impl Iterator<Item = Asking<'b>> + Send,
) -> Result<Books, StoreError> {
    let until: Days = in_order.filter_map(accrued_until).collect();
    read_books(reads, &until).await
}

/// The same for loans that an accrual is only imagined for, from their whole past: what waits in front of it is noted as
/// well, whatever day it counts from, and a mark holds for what is posted alone.
///
/// # Errors
/// The store is away, or a row is unreadable.
pub(crate) async fn read_whole_accruals<'b>(
    reads: &mut impl PastReads,
    loans: impl Iterator<Item = Asking<'b>> + Send,
) -> Result<Books, StoreError> {
    let until: Days = loans.filter_map(accrued_until).collect();
    if until.is_empty() { Ok(Books::new()) } else { read_whole(reads, &until).await }
}

/// The first day behind the last event of a loan whose interest is computed.
fn accrued_until(asking: Asking<'_>) -> Option<(LoanKey, NaiveDate)> {
    computing_group(asking.events)?;
    let date = asking.events.last()?.event.command.effective_date();
    Some((asking.key, date.succ_opt().unwrap_or(date)))
}

async fn read_books(reads: &mut impl PastReads, until: &Days) -> Result<Books, StoreError> {
    if until.is_empty() {
        return Ok(Books::new());
    }
    let mut books = read_marked(reads, until).await?;
    books.retain(|_, book| book.holds());
    let whole: Days = until.iter().filter(|(key, _)| !books.contains_key(key)).map(|(key, day)| (*key, *day)).collect();
    if !whole.is_empty() {
        books.extend(read_whole(reads, &whole).await?);
    }
    Ok(books)
}

/// The books of loans from their whole past before a day.
async fn read_whole(reads: &mut impl PastReads, until: &Days) -> Result<Books, StoreError> {
    let mut books: Books = until.keys().map(|key| (*key, AccrualBook::default())).collect();
    for moved in reads.moved_before(until).await? {
        let book = books.entry(moved.loan).or_default();
        book.note_principal(moved.date, moved.principal);
        if moved.accrues {
            book.note_accrual(moved.date);
        }
    }
    Ok(books)
}

/// The books of the loans that have a mark, with what came since.
async fn read_marked(reads: &mut impl PastReads, until: &Days) -> Result<Books, StoreError> {
    let marks = reads.marks(until).await?;
    let behind = |marked: &Marked| {
        let Marked { loan, version, .. } = *marked;
        until.get(&loan).map(|until| Behind { loan, version, until: *until })
    };
    let behind: Vec<Behind> = marks.iter().filter_map(behind).collect();
    let mut books: Books = marks.iter().map(|marked| (marked.loan, AccrualBook::since(marked.mark))).collect();
    if !behind.is_empty() {
        for moved in reads.moved_behind(&behind).await? {
            let book = books.entry(moved.loan).or_default();
            book.note_principal(moved.date, moved.principal);
            if moved.accrues {
                book.doubt();
            }
        }
    }
    Ok(books)
}

/// The money that came in for each loan that is charged a late fee which says what it is for. A period may begin with its
/// loan: a loan of many postings has its batch for itself then, see [`reads_long`](crate::core::ledger::reads_long).
///
/// # Errors
/// The store is away, or a row is unreadable.
pub(crate) async fn read_receipts<'b>(
    reads: &mut impl PastReads,
    loans: impl Iterator<Item = Asking<'b>> + Send,
) -> Result<BTreeMap<LoanKey, Receipts>, StoreError> {
    let since: Days = loans.filter_map(|asking| Some((asking.key, needs_receipts(asking.events)?))).collect();
    if since.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut rows = reads.postings_since(&since).await?;
    let receipts = |key: &LoanKey| {
        let mut receipts = Receipts::default();
        for (event, posting) in rows.remove(key).unwrap_or_default() {
            receipts.note(event.seq, &event.event, &posting);
        }
        (*key, receipts)
    };
    Ok(since.keys().map(receipts).collect())
}
