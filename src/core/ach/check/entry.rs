//! Owns the check of one entry with the addenda that follow it.

use crate::core::ach::code::{Purpose, SecCode};
use crate::core::ach::fault::{FaultCode, Notes};
use crate::core::ach::record::{Addenda, Entry, Reader, addenda, entry};

/// A return, its dishonour, and the answer to that.
const RETURNS_MAX: u32 = 3;
/// One change is asked for at a time.
const CHANGES_MAX: u32 = 1;

/// An entry whose addenda may still follow.
#[derive(Debug)]
pub(super) struct OpenEntry {
    line: usize,
    entry: Option<Entry>,
    sec: Option<SecCode>,
    /// The count that a CTX entry carries.
    announced: Option<u64>,
    own: u32,
    returns: u32,
    changes: u32,
}

impl OpenEntry {
    pub(super) fn new(entry: Option<Entry>, sec: Option<SecCode>, reader: &mut Reader<'_>) -> Self {
        let is_ctx = sec == Some(SecCode::Ctx);
        let announced = if is_ctx { reader.number(entry::CTX_ADDENDA_COUNT) } else { None };
        Self { line: reader.line, entry, sec, announced, own: 0, returns: 0, changes: 0 }
    }

    pub(super) fn addenda(&mut self, reader: &mut Reader<'_>) {
        let read = Addenda::read(reader);
        // Counted by its type even where its fields are wrong.
        let (count, max) = match reader.text(addenda::TYPE).bytes() {
            b"98" => (&mut self.changes, CHANGES_MAX),
            b"99" => (&mut self.returns, RETURNS_MAX),
            _ => (&mut self.own, self.sec.map_or(u32::MAX, SecCode::addenda_max)),
        };
        *count = count.saturating_add(1);
        if *count > max {
            let message = format_args!("the entry may have {max} addenda of this type");
            reader.fault(addenda::TYPE, FaultCode::AddendaTooMany, message);
        }
        if let (Some(read), Some(sec)) = (&read, self.sec)
            && !belongs(read, sec)
        {
            reader.fault(addenda::TYPE, FaultCode::AddendaType, format_args!("does not belong to {sec} entries"));
        }
        if let Some(Addenda::Remittance(_)) = read {
            self.sequence(reader);
        }
    }

    /// Addenda 05 count from 1 and name their entry.
    fn sequence(&self, reader: &mut Reader<'_>) {
        let expected = u64::from(self.own);
        if reader.text(addenda::SEQUENCE).digits() != Some(expected) {
            let message = format_args!("must be {expected:04}");
            reader.fault(addenda::SEQUENCE, FaultCode::AddendaSequence, message);
        }
        let named = reader.text(addenda::ENTRY_SEQUENCE).digits();
        if let Some(expected) = self.entry.as_ref().map(|entry| entry.trace.sequence())
            && named != Some(expected)
        {
            let message = format_args!("must be {expected:07}, the end of the entry's trace number");
            reader.fault(addenda::ENTRY_SEQUENCE, FaultCode::AddendaSequence, message);
        }
    }

    /// No further addenda follow.
    pub(super) fn end(self, notes: &mut Notes) {
        let Some(entry) = self.entry else { return };
        self.addenda_agree(&entry, notes);
        self.amount_agrees(&entry, notes);
        let followed = u64::from(self.own);
        if let Some(announced) = self.announced.filter(|announced| *announced != followed)
            && self.returns == 0
        {
            let message = format_args!("{announced} addenda are announced, {followed} follow");
            notes.add(entry::CTX_ADDENDA_COUNT.on(self.line), FaultCode::AddendaCount, message);
        }
    }

    fn addenda_agree(&self, entry: &Entry, notes: &mut Notes) {
        let place = entry::INDICATOR.on(self.line);
        let none = self.own == 0 && self.returns == 0 && self.changes == 0;
        let needs_reason = entry.code.purpose == Purpose::Returned || self.sec == Some(SecCode::Cor);
        if entry.has_addenda && none {
            notes.add(place, FaultCode::AddendaMissing, format_args!("addenda are announced and do not follow"));
        } else if needs_reason && self.returns == 0 && self.changes == 0 {
            let message = format_args!("a return needs addenda 99, a notification of change addenda 98");
            notes.add(place, FaultCode::AddendaMissing, message);
        }
        if !entry.has_addenda && !none {
            notes.add(place, FaultCode::AddendaUnexpected, format_args!("addenda follow and are not announced"));
        }
    }

    fn amount_agrees(&self, entry: &Entry, notes: &mut Notes) {
        let place = entry::AMOUNT.on(self.line);
        let moves_nothing = self.sec == Some(SecCode::Cor)
            || match entry.code.purpose {
                Purpose::Prenote | Purpose::ZeroDollar => true,
                Purpose::Live | Purpose::Returned => false,
            };
        if moves_nothing && !entry.amount.is_zero() {
            let message = format_args!("must be zero: the entry moves no money");
            notes.add(place, FaultCode::NonzeroAmount, message);
        }
        if entry.code.purpose == Purpose::Live && entry.amount.is_zero() && self.returns == 0 && self.changes == 0 {
            notes.add(place, FaultCode::ZeroAmount, format_args!("must be more than zero"));
        }
    }
}

/// Whether addenda of this type may follow an entry of this class.
fn belongs(addenda: &Addenda, sec: SecCode) -> bool {
    let is_terminal = matches!(sec, SecCode::Mte | SecCode::Pos | SecCode::Shr);
    match addenda {
        Addenda::Change(_) => sec == SecCode::Cor,
        Addenda::Return(_) => sec != SecCode::Cor,
        Addenda::Remittance(_) => !is_terminal && sec != SecCode::Iat && sec != SecCode::Cor,
        Addenda::Other(2) => is_terminal,
        Addenda::Other(_) => sec == SecCode::Iat,
    }
}
