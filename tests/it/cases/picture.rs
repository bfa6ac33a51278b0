//! What docs/late-items.md shows, in its picture and its example: the same loan, led through the API.

use serde_json::json;

use super::loan::{Books, parts, same, text};
use super::{Case, Told};

pub(super) const CASES: &[Case] =
    &[Case { name: "the picture of the documentation", run: |books| Box::pin(as_the_documentation_shows(books)) }];

/// Of three payments of 50.00 the first two are divided anew when 40.00 come that count from before, and the third is not.
async fn as_the_documentation_shows(books: &Books) -> Told {
    let loan = books.open([0, 3_000, 100_000], None).await?;
    loan.charges(2_500, "2026-02-10").await?;
    let mut paid = Vec::new();
    for (day, split) in
        [("2026-02-15", [2_500, 2_500, 0, 0]), ("2026-03-15", [0, 500, 4_500, 0]), ("2026-04-15", [0, 0, 5_000, 0])]
    {
        let payment = loan.pays(5_000, day).await?;
        same(day, &parts(&payment["allocation"]), &split)?;
        paid.push(payment);
    }
    let late = loan.pays(4_000, "2026-02-03").await?;
    same("the late one", &parts(&late["allocation"]), &[0, 3_000, 1_000, 0])?;
    let restated = late["restated"].as_array().ok_or("nothing is restated")?;
    let told: Vec<_> = restated.iter().map(|one| (text(one, "effective_at"), parts(&one["allocation"]))).collect();
    let expected = [("2026-02-15", [2_500, 0, 2_500, 0]), ("2026-03-15", [0, 0, 5_000, 0])];
    same("restated", &told, &expected.map(|(day, split)| (day.to_owned(), split)).to_vec())?;
    same(
        "which",
        &json!([restated[0]["event_id"], restated[1]["event_id"]]),
        &json!([paid[0]["payment_event_id"], paid[1]["payment_event_id"]]),
    )?;
    same("the third", &loan.split(&paid[2]).await?, &[0, 0, 5_000, 0])
}
