//! Owns the rows of `tests/data/waterfall.json`: one payment on a loan that owes what the row says, and payments of all
//! that is owed that go back, or in part.

use hpts::core::money::Minor;

use super::life::{Books, Owed, parts, same, text};
use super::{Expected, Reason, Rows, Told};
use crate::oracles::waterfall::{self, Case, Parts, Returned};

/// The same rows as in the pure test of the waterfall, and two values of each payment, four of each return.
pub(super) const EXPECTED: Expected =
    Expected { run: waterfall::RUN, compared: 24 * 2 + 7 * 4, left_out: &waterfall::LEFT_OUT, parts: &[] };

/// The days of payments and of returns.
const PAID_ON: &str = "2023-02-01";
const BACK_ON: &str = "2023-03-01";

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file = waterfall::file();
    let mut rows = Rows::new("waterfall.json");
    for case in file.cases {
        match case.order() {
            Ok(order) => rows.runs(&case.id.clone(), pay(books, order, case)),
            Err(reason) => rows.leaves_out(&case.id, reason),
        }
    }
    for row in file.returned_payment_cases {
        rows.runs(&row.id.clone(), go_back(books, row));
    }
    for row in file.suspense_examples {
        rows.leaves_out(&row.id, Reason::HeldPartialPayment);
    }
    rows
}

fn units(parts: &Parts) -> Owed {
    parts.buckets().map(Minor::units)
}

async fn pay(books: &Books, order: Vec<&'static str>, case: Case) -> Told {
    let loan = books.open(&order, units(&case.before)).await?;
    let paid = loan.pays(case.payment.0.units(), PAID_ON).await?;
    let ([fees, interest, principal], unapplied) = (units(&case.expected), case.unapplied.0.units());
    same("split", &parts(&paid["allocation"])?, &[fees, interest, principal, unapplied])?;
    let left = case.before.total().units() - case.expected.total().units();
    same("owed and suspense", &loan.owed().await?, &(left, unapplied))
}

async fn go_back(books: &Books, row: Returned) -> Told {
    let (split, returned) = (&row.original_payment_split, row.amount.0.units());
    let order = ["fees", "interest", "principal"];
    let loan = books.open_charging_back(&order, &row.credit_order(), units(split)).await?;
    let paid = loan.pays(split.total().units(), PAID_ON).await?;
    let ([fees, interest, principal], [back_fees, back_interest, back_principal]) =
        (units(split), units(&row.expected_add_back));
    same("split", &parts(&paid["allocation"])?, &[fees, interest, principal, 0])?;
    let back = loan.charges_back(&paid, returned, BACK_ON).await?;
    let put_back = [back_fees, back_interest, back_principal, 0];
    same("put back", &loan.divided(&text(&back["payment_returned_event_id"])?).await?, &put_back)?;
    same("owed again", &loan.balances(BACK_ON.parse().map_err(|_| "no day")?).await?, &put_back)?;
    same("owed and suspense", &loan.owed().await?, &(returned, 0))
}
