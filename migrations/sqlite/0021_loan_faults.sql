-- What the check of loans has found, and since when every loan was checked.

-- Loans whose row does not hold what their postings add up to, or whose chain is broken. A loan found sound again leaves.
CREATE TABLE loan_faults (
    loan_key BLOB NOT NULL CHECK (length(loan_key) = 16),
    tenant   BLOB NOT NULL CHECK (length(tenant) = 16),
    loan_id  BLOB NOT NULL CHECK (length(loan_id) = 16),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    kind     TEXT NOT NULL CHECK (kind IN ('balance', 'chain')),
    -- The first event whose posting is not what its hash covers.
    event_id BLOB CHECK (length(event_id) = 16),
    detail   TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    PRIMARY KEY (loan_key, kind)
) STRICT, WITHOUT ROWID;
-- The faults of a tenant's books, for the status of reconciliation.
CREATE INDEX loan_faults_books ON loan_faults (tenant, currency, kind, loan_id);

ALTER TABLE reconciler ADD COLUMN loans_checked_at INTEGER;
