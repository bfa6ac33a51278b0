-- Loans whose hold refuses: what comes is rejected `loan_on_hold` instead of waiting. A loan that stands in `holds` too,
-- because one of its events is parked, waits.
CREATE TABLE refusing_holds (
    loan_key BLOB PRIMARY KEY CHECK (length(loan_key) = 16),
    tenant   BLOB NOT NULL REFERENCES tenants (id),
    reason   TEXT NOT NULL,
    held_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
