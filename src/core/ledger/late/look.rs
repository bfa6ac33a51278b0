//! Owns the look at a loan from where a late event stands: what the rules judge it by.

use chrono::NaiveDate;

use crate::core::event::{Command, EventKind, LegTerms, NewEvent, PaymentReturn, Servicing, ServicingAct};
use crate::core::ids::Seq;
use crate::core::ledger::entry::Line;
use crate::core::ledger::late::book::{Book, Standing, deed_of, placed_of};
use crate::core::ledger::late::difference::{Bearer, charge_back_lines};
use crate::core::ledger::late::history::{History, is_late_on};
use crate::core::ledger::past::{Past, computes_interest};
use crate::core::ledger::rules::{Refusal, movement_of};
use crate::core::loan::{
    Allocation, Balances, DayMovement, Deed, Fact, Life, LoanState, LoanStatus, LossAccount, Place, ReturnManner,
    Timeline,
};
use crate::core::money::{AmountOverflow, Minor};

/// What a late event sees of the days around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The smallest balance of each bucket at the end of any day from the event's own on.
    pub(in crate::core::ledger) floor: Balances,
    /// The fees that may be forgiven where the event stands, so that what else was taken of them later finds them still, if no
    /// money had paid any from there on.
    pub(in crate::core::ledger) fees_unless_paid: Minor,
    /// The suspense that may pay debts where the event stands, so that what other than debts took of it later finds it still.
    pub(in crate::core::ledger) spare_suspense: Minor,
    /// The balances at the end of the event's day.
    pub(in crate::core::ledger) end_of_day: Balances,
    /// The balances after everything, without the interest that was computed for days behind the event: what that comes
    /// to is for the event to say.
    pub(in crate::core::ledger) today: Balances,
    /// The lines that take back what the event names, as it stands.
    pub(in crate::core::ledger) taken_back: Option<Vec<Line>>,
    /// Whether money of what it takes back went back on a later day.
    pub(in crate::core::ledger) is_charged_back: bool,
    /// What an event does that gives money of a payment back.
    pub(in crate::core::ledger) charge_back: Option<ChargeBack>,
}

/// Money of a payment that goes back on a day of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeBack {
    /// The lines of the entry.
    pub(in crate::core::ledger) lines: Vec<Line>,
    /// Where it is put back.
    pub(in crate::core::ledger) split: Allocation,
    /// What of the payment has not gone back yet.
    pub(in crate::core::ledger) left: Minor,
}

/// What a late event takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A fact.
    Fact(Place),
    /// What suspense paid of the debt that a fact brought.
    ReleaseOf(Place),
    /// An event that moved nothing.
    Nothing,
}

/// A late event with the loan around it.
#[derive(Clone, Debug)]
pub(in crate::core::ledger) struct Looked {
    /// The loan as it stood where the event stands.
    pub(in crate::core::ledger) then: LoanState,
    /// The days around it.
    pub(in crate::core::ledger) view: View,
    pub(super) book: Book,
    pub(super) place: Place,
    pub(super) target: Option<Target>,
}

/// The event that one takes out of the loan's life, as if it had never been. Money of a payment that goes back on a day of
/// its own takes none out.
fn undone_by(command: &Command) -> Option<Seq> {
    match command {
        Command::PaymentReturn(returned) => returned.undoes().map(|payment| payment.seq),
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::Reversal(reversed) => Some(reversed.event.seq),
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::FeeWaived { .. }
            | ServicingAct::SuspenseApplied { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::ManualAdjustment { .. }
            | ServicingAct::Chargeoff { .. }
            | ServicingAct::Recovery
            | ServicingAct::Restated { .. } => None,
        },
        Command::Leg(leg) => {
            if let LegTerms::Reversal { leg, .. } = &leg.terms {
                Some(leg.seq)
            } else {
                None
            }
        }
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => None,
    }
}

/// Looks at a loan from a late event's place; `None` where the event is not late.
pub(in crate::core::ledger) fn look(
    state: &LoanState,
    past: &Past,
    event: &NewEvent,
) -> Result<Option<Looked>, Refusal> {
    if !is_late_on(state, &event.command) {
        return Ok(None);
    }
    let history = past.history.as_ref().ok_or(Refusal::NoHistory)?;
    let commands = history.rows.iter().map(|row| &row.event.command).chain([&event.command]);
    if history.accruals.is_none() && commands.into_iter().any(computes_interest) {
        return Err(Refusal::NoAccruals);
    }
    let book = Book::new(state, history)?;
    let date = event.command.days().0;
    let place = placed_of(&event.command, date, state.version.saturating_add(1));
    let target = undone_by(&event.command).map(|seq| find(&book, seq));
    // What takes an entry back has no place of its own, and is judged by the loan as it stands.
    let mut then = LoanState { greatest_effective_date: date, ..*state };
    if target.is_none() {
        let position = book.life.position_before(place)?;
        (then.balances, then.charged_off) = (position.balances, position.charged_off);
        then.status = status_for(&event.command, state.status, position.status);
    }
    let taken_back = target.map(|target| match target {
        Target::Fact(place) => book.facts.get(&place),
        Target::ReleaseOf(place) => book.releases.get(&place),
        Target::Nothing => None,
    });
    // Of an event that moved nothing, or whose restatements have taken all of it back, nothing stands.
    let taken_back = taken_back.map(|standing| standing.map_or(Ok(Vec::new()), Standing::mirrored)).transpose()?;
    let is_back = |fact: &Fact, of: Place| matches!(fact.deed, Deed::ChargesBack { of: it, .. } if it == of);
    let is_charged_back = match target {
        Some(Target::Fact(of)) => book.life.facts().any(|(fact, ..)| is_back(fact, of)),
        Some(Target::ReleaseOf(_) | Target::Nothing) | None => false,
    };
    let charge_back = match event.command.payment_return() {
        Some(returned) => charge_back(&book, returned, place)?,
        None => None,
    };
    let later = later_days(history, date)?;
    let view = View {
        floor: later.least_since(date, &state.balances)?,
        fees_unless_paid: fees_unless_paid(then.balances.fees, &book, place),
        spare_suspense: spare_suspense(then.balances.suspense, &book.life, place),
        end_of_day: later.balances_on(date, &state.balances)?,
        today: without_computed(state.balances, &book.life, place)?,
        taken_back,
        is_charged_back,
        charge_back,
    };
    Ok(Some(Looked { then, view, book, place, target }))
}

impl Looked {
    /// What the days of a late accrual come to in its place.
    ///
    /// # Errors
    /// [`AmountOverflow`] when it leaves 64 bits.
    pub(in crate::core::ledger) fn interest(&self, command: &Command) -> Result<Minor, AmountOverflow> {
        let deed = deed_of(command, Balances::default(), |_| None);
        let effect = self.book.life.foresee(Fact { place: self.place, deed, releases_suspense: false })?;
        effect.movement.interest.plus(effect.memo.interest)
    }
}

/// Where a loan stands for a late event: where it stood on the event's day. A payment, a fee, interest or a transfer of a
/// day before a charge-off finds a loan that nobody had charged off, even one that is written off today, and the
/// charge-off is computed anew. But a loan is charged off once, whatever day the second charge-off is for (domain rule 63).
fn status_for(command: &Command, today: LoanStatus, then: LoanStatus) -> LoanStatus {
    let charges_off = |servicing: &Servicing| matches!(servicing.act, ServicingAct::Chargeoff { .. });
    match command {
        Command::Servicing(servicing) if charges_off(servicing) => today,
        Command::Servicing(_)
        | Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => then,
    }
}

/// Balances without the interest that was computed behind a place, and without what suspense paid of it.
fn without_computed(balances: Balances, life: &Life, place: Place) -> Result<Balances, AmountOverflow> {
    let behind = life.facts().filter(|(fact, ..)| fact.place > place);
    let computed = behind.filter(|(fact, ..)| matches!(fact.deed, Deed::Accrues { interest: None, .. }));
    computed
        .flat_map(|(_, effect, release)| std::iter::once(effect).chain(release))
        .try_fold(balances, |balances, effect| balances.minus(&effect.movement))
}

/// See [`View::fees_unless_paid`]; `there` is what is owed in front of everything behind the place.
fn fees_unless_paid(there: Minor, book: &Book, place: Place) -> Minor {
    // What has to be there for what comes behind, from the last fact on. A waiver asks for no more than it finds: whether
    // fees have room for both is judged fee by fee, and what it does not find was paid. But it takes its part first.
    let mut needed = 0_i128;
    let behind: Vec<_> = book.life.facts().filter(|(fact, ..)| fact.place > place).collect();
    for (fact, ..) in behind.into_iter().rev() {
        let is_waiver = || book.facts.get(&fact.place).is_some_and(|it| it.event.kind == EventKind::FeeWaived);
        if needed > 0 || !is_waiver() {
            needed = needed.saturating_sub(i128::from(fees_asked(&fact.deed).units())).max(0);
        }
    }
    narrow(i128::from(there.units()).saturating_sub(needed))
}

/// See [`View::spare_suspense`]; `there` is what waits in front of everything behind the place.
fn spare_suspense(there: Minor, life: &Life, place: Place) -> Minor {
    // What has to be there for what comes behind, from the last fact on. Whatever pays debts in between takes its part first.
    let mut needed = 0_i128;
    let behind: Vec<_> = life.facts().filter(|(fact, ..)| fact.place > place).collect();
    for (fact, effect, release) in behind.into_iter().rev() {
        let pays = matches!(fact.deed, Deed::Applies(_));
        for (effect, pays) in release.map(|release| (release, true)).into_iter().chain([(effect, pays)]) {
            if !pays || needed > 0 {
                needed = needed.saturating_sub(i128::from(effect.movement.suspense.units())).max(0);
            }
        }
    }
    narrow(i128::from(there.units()).saturating_sub(needed))
}

fn narrow(least: i128) -> Minor {
    Minor::new(i64::try_from(least.max(0)).unwrap_or(i64::MAX))
}

/// What a deed adds to fees, or takes of them, where no money has paid any. What divides money is divided anew where there
/// is other debt, and a charge-off moves fees to the memo accounts, where they are owed as before.
const fn fees_asked(deed: &Deed) -> Minor {
    match deed {
        Deed::Moves(asked) | Deed::Adjusts { asked, .. } => asked.fees,
        Deed::Pays { .. }
        | Deed::Applies(_)
        | Deed::ChargesBack { .. }
        | Deed::Accrues { .. }
        | Deed::ChargesOff { .. } => Minor::ZERO,
    }
}

/// What a return does where its payment's money goes back on a day of its own; `None` where the payment does not stand.
fn charge_back(book: &Book, returned: &PaymentReturn, place: Place) -> Result<Option<ChargeBack>, AmountOverflow> {
    let ReturnManner::Chargeback(order) = returned.manner else { return Ok(None) };
    let Some(of) = book.place_of(returned.payment.seq) else { return Ok(None) };
    let amount = returned.amount.minor;
    let deed = Deed::ChargesBack { of, amount, order };
    let effect = book.life.foresee(Fact { place, deed, releases_suspense: true })?;
    let charged_off = book.life.position_before(place)?.charged_off;
    let loss = charged_off.map_or(LossAccount::default(), |off| off.loss);
    let lines = charge_back_lines(&effect, amount, bearer(&book.life, of, loss))?;
    let split = effect.split.unwrap_or_default();
    let mut left = Minor::ZERO;
    for (fact, ..) in book.life.facts() {
        left = match fact.deed {
            Deed::Pays { amount: paid, .. } if fact.place == of => left.plus(paid)?,
            Deed::ChargesBack { of: it, amount, .. } if it == of => left.minus(amount)?,
            Deed::Pays { .. }
            | Deed::ChargesBack { .. }
            | Deed::Moves(_)
            | Deed::Adjusts { .. }
            | Deed::Accrues { .. }
            | Deed::Applies(_)
            | Deed::ChargesOff { .. } => left,
        };
    }
    Ok(Some(ChargeBack { lines, split, left }))
}

/// Who bears what of a payment goes back while its loan is charged off.
pub(super) fn bearer(life: &Life, payment: Place, loss: LossAccount) -> Bearer {
    let is_recovery = life.effect(payment).is_some_and(|paid| paid.memo != Balances::default());
    if is_recovery { Bearer::Recoveries(loss) } else { Bearer::Loss(loss) }
}

fn find(book: &Book, seq: Seq) -> Target {
    let fact = book.facts.iter().find(|(_, standing)| standing.seq == Some(seq));
    let release = || book.releases.iter().find(|(_, standing)| standing.seq == Some(seq));
    fact.map(|(place, _)| Target::Fact(*place))
        .or_else(|| release().map(|(place, _)| Target::ReleaseOf(*place)))
        .unwrap_or(Target::Nothing)
}

/// What moved after a day.
fn later_days(history: &History, date: NaiveDate) -> Result<Timeline, AmountOverflow> {
    let later = history.rows.iter().map(|row| &row.posting).filter(|posting| posting.effective_date > date);
    let entries = later.filter_map(|posting| posting.entry.as_ref().map(|entry| (posting.effective_date, entry)));
    let days = entries.map(|(date, entry)| Ok(DayMovement { date, movement: movement_of(entry.lines())? }));
    Timeline::new(days.collect::<Result<Vec<_>, AmountOverflow>>()?)
}
