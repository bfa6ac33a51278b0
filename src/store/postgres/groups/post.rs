//! Owns the transaction that posts a group: read, lock, look ahead, fold, write, commit. Eight statements, whatever the
//! group's size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;

use super::super::connect::{HotPath, PostgresStore, begin};
use super::super::error::classify;
use super::super::periods;
use super::super::post::{
    Locked, add_accruals, add_fees, add_histories, forget_unopened, lock, read_earlier, write_legs, write_marks,
};
use super::super::rows::key_column;
use super::look::{GroupRows, read_clock, read_group, read_in_front};
use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{Calendar, Earlier, GroupInput, LegWork, LoanWork, Past, Posting, RejectionCode};
use crate::core::money::Minor;
use crate::runtime::clock::Stopwatch;
use crate::store::calendars::CalendarCache;
use crate::store::{GroupFold, GroupProgress, GroupWork, PostWork, PostedBatch, StoreError, Wanted, is_restating};

/// The posting of a parent: no loan, no lines. The loans that a group was refused for stand in its answer.
pub(in crate::store::postgres) const INSERT_PARENT_POSTING: &str = "INSERT INTO postings (event_seq, loan_key, \
     outcome, rejection_code, accounts, amounts, layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, \
     effective_date, booking_date, posted_at, answer) \
     VALUES ($1, $2, $3, $4, '{}', '{}', 'SETTLED', $5, $6, $7, $8, $9, $10, $11, $12)";

impl PostgresStore {
    pub(in crate::store::postgres) async fn post_one_group(
        &self,
        work: GroupWork,
        fold: GroupFold,
    ) -> Result<GroupProgress, StoreError> {
        let mut watch = Stopwatch::start();
        let mut connection = self.hot_connection(HotPath::Post).await?;
        let progress = post(&mut connection, &mut watch, (work, &self.calendars), &fold).await;
        let progress = progress.inspect_err(|error| self.doubt(error))?;
        self.rest(connection);
        if let GroupProgress::Finished(batch) = &progress {
            self.known_loans.forget(batch.posted.iter().map(|(event, _)| event.event.loan_key));
        }
        Ok(progress)
    }
}

/// One transaction; only a group that is finished in it is committed.
async fn post(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    (work, calendars): (GroupWork, &CalendarCache),
    fold: &GroupFold,
) -> Result<GroupProgress, StoreError> {
    let mut transaction = begin(connection).await?;
    let mut batch = PostedBatch::default();
    batch.times.begin = watch.lap();
    let filled = fill(&mut transaction, watch, (work, calendars), fold, &mut batch).await;
    match filled {
        Ok(None) => {
            transaction.commit().await.map_err(classify)?;
            batch.times.commit = watch.lap();
            Ok(GroupProgress::Finished(Box::new(batch)))
        }
        Ok(Some(unfinished)) => transaction.rollback().await.map_err(classify).map(|()| unfinished),
        Err(error) => {
            // A rollback that fails leaves a broken connection, which the pool finds; the first error matters.
            let _rolled_back = transaction.rollback().await;
            Err(error)
        }
    }
}

/// Everything between BEGIN and COMMIT. Answers why the group cannot be finished now.
async fn fill(
    connection: &mut PgConnection,
    watch: &mut Stopwatch,
    (work, calendars): (GroupWork, &CalendarCache),
    fold: &GroupFold,
    batch: &mut PostedBatch,
) -> Result<Option<GroupProgress>, StoreError> {
    let group = read_group(connection, work.group).await?;
    let locked = lock(connection, &locks(&group, work)).await?;
    batch.times.lock = watch.lap();
    let Some((now, version)) = read_clock(connection, work.group).await? else {
        return Ok(Some(GroupProgress::Already));
    };
    let is_held = !locked.held.is_empty() || locked.loans.values().any(|loan| loan.on_hold);
    if work.refusal.is_none() && !is_held {
        let front = read_in_front(connection, &group, &marks(&locked)).await?;
        if !front.groups.is_empty() || !front.events.is_empty() {
            let groups = front.groups.into_iter().collect();
            return Ok(Some(GroupProgress::Behind { groups, events: front.events }));
        }
    }
    let mut by_loan = group.legs.iter().map(|leg| (leg.event.loan_key, vec![leg.clone()])).collect();
    let mut earlier = read_earlier(connection, &mut by_loan).await?;
    let late =
        by_loan.values().flatten().filter(|event| event.event.origin.group.map(|it| it.group_seq) != Some(work.group));
    let late: Vec<Wanted> = late.map(wanted).collect();
    if !late.is_empty() {
        // What a leg names was committed late, and nobody has posted it yet.
        return Ok(Some(GroupProgress::Behind { groups: Vec::new(), events: late }));
    }
    let tenant = group.parent.event.tenant;
    let calendar = periods::calendars(connection, calendars, version, &BTreeSet::from([tenant])).await?.remove(&tenant);
    let calendar = calendar.unwrap_or_default();
    let mut loans: Vec<LoanWork> =
        group.legs.iter().map(|leg| loan_work(&locked, leg, (&mut earlier, &calendar))).collect();
    add_histories(connection, &mut loans, None).await?;
    add_accruals(connection, &mut loans).await?;
    add_fees(connection, &mut loans).await?;
    batch.times.read = watch.lap();
    let is_held = |key: &LoanKey| locked.held.contains(key) || locked.loans.get(key).is_some_and(|loan| loan.on_hold);
    let legs = loans.into_iter().map(|work| {
        let is_held = is_held(&work.key);
        LegWork::of(work, is_held).ok_or_else(|| StoreError::Broken("a leg is not one event".to_owned()))
    });
    let input =
        GroupInput { now, parent: group.parent.clone(), legs: legs.collect::<Result<_, _>>()?, refusal: work.refusal };
    let output = match fold(input) {
        Ok(output) => output,
        Err(reason) => return Ok(Some(GroupProgress::Failed(reason))),
    };
    batch.times.fold = watch.lap();
    forget_unopened(connection, &locked, &output.states).await?;
    let parent = output.parent.clone();
    batch.restating.extend(is_restating(&output).then_some(group.parent.seq));
    write_marks(connection, &output).await?;
    let events: HashMap<Seq, AcceptedEvent> = group.legs.into_iter().map(|leg| (leg.seq, leg)).collect();
    write_legs(connection, (work.lane_slot, &locked), (&group.parent, events), output, batch).await?;
    write_parent(connection, group.parent.seq, &parent).await?;
    batch.posted.push((group.parent, parent));
    batch.times.write = watch.lap();
    Ok(None)
}

/// The legs' loans, as a batch would lock them.
fn locks(group: &GroupRows, work: GroupWork) -> PostWork {
    PostWork {
        wanted: group.legs.iter().map(wanted).collect(),
        events_max: group.legs.len(),
        per_loan_max: 1,
        lane_slot: work.lane_slot,
        skip_locked: false,
        despite_hold: false,
    }
}

fn wanted(event: &AcceptedEvent) -> Wanted {
    Wanted { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key }
}

fn marks(locked: &Locked) -> BTreeMap<LoanKey, Seq> {
    locked.loans.iter().map(|(key, loan)| (*key, loan.state.last_posted_seq)).collect()
}

fn loan_work(
    locked: &Locked,
    leg: &AcceptedEvent,
    (earlier, calendar): (&mut HashMap<LoanKey, Earlier>, &Calendar),
) -> LoanWork {
    let key = leg.event.loan_key;
    LoanWork {
        key,
        state: locked.loans.get(&key).map(|loan| loan.state),
        number_taken: locked.number_taken.contains(&key),
        past: Past { earlier: earlier.remove(&key).unwrap_or_default(), calendar: calendar.clone(), ..Past::default() },
        events: vec![leg.clone()],
    }
}

async fn write_parent(connection: &mut PgConnection, seq: Seq, posting: &Posting) -> Result<(), StoreError> {
    let refused = (!posting.refused_loans.is_empty()).then(|| serde_json::to_vec(&posting.refused_loans));
    let refused = refused.transpose().map_err(|_| StoreError::Broken("loan ids have no JSON".to_owned()))?;
    let moved = posting.allocation;
    let query = sqlx::query(INSERT_PARENT_POSTING)
        .bind(seq.0)
        .bind(key_column(posting.loan_key))
        .bind(posting.outcome.as_str())
        .bind(posting.outcome.rejection().map(RejectionCode::as_str))
        .bind(moved.map(|moved| Minor::units(moved.fees)))
        .bind(moved.map(|moved| Minor::units(moved.interest)))
        .bind(moved.map(|moved| Minor::units(moved.principal)))
        .bind(moved.map(|moved| Minor::units(moved.suspense)))
        .bind(posting.effective_date)
        .bind(posting.booking_date)
        .bind(posting.posted_at.utc())
        .bind(refused);
    query.execute(connection).await.map_err(classify).map(drop)
}
