//! What was moved from one bucket of a loan to another, when something late leaves less of it.

use serde_json::json;

use super::loan::{Books, same};
use super::{Case, Told};

pub(super) const CASES: &[Case] = &[Case {
    name: "interest that was not there is not capitalised",
    run: |books| Box::pin(capitalised_interest(books)),
}];

/// 10,000.00 by 2.00 a day, accrued for ten days twice, of which a restructure makes 30.00 principal. Then 5,010.00 come
/// that count from the sixteenth day: they pay the first 20.00, and leave 5 days of 2.00 and 5 of 1.002 to the second
/// accrual. So 15.01 became principal, and 14.99 are nobody's.
async fn capitalised_interest(books: &Books) -> Told {
    let program = books.program(&json!({"annual_rate": "7.3"})).await?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    for day in ["2026-01-09", "2026-01-19"] {
        let body = json!({"program_id": program, "accrual_date": day, "day_count_convention": "ACT_365",
            "loans": [{"loan_id": loan.id, "outstanding_principal_minor": "1000000"}]});
        let accrued = books.post("/v1/accruals/batch", &body).await?;
        same(day, &accrued["total_accrued_minor"], &json!("2000"))?;
    }
    let moves = json!({"moves": [{"from": "interest", "to": "principal", "amount_minor": "3000"}]});
    loan.act("/v1/restructures", "2026-01-24", &moves).await?;
    same("before", &loan.balances().await?, &[0, 1_000, 1_003_000, 0])?;

    let paid = loan.pays(501_000, "2026-01-15").await?;
    same("behind the late payment", &loan.balances().await?, &[0, 0, 502_501, 0])?;
    loan.returns(&paid, None, "2026-02-01").await?;
    same("when it goes back", &loan.balances().await?, &[0, 1_000, 1_003_000, 0])
}
