-- How far loans are accrued: one row behind every posting whose interest was computed. Only what is read of a loan's past
-- depends on it; the postings say the same. The last row of a loan counts, until something comes that it does not know.

CREATE TABLE loan_accruals (
    loan_key     BLOB NOT NULL REFERENCES loans (loan_key),
    -- The accrual among the loan's postings.
    loan_version INTEGER NOT NULL CHECK (loan_version > 0),
    -- The first day that no accrual covers.
    until_date   TEXT NOT NULL,
    -- The first day of the stretch of unchanged principal before it, and that principal.
    since_date   TEXT NOT NULL CHECK (since_date <= until_date),
    principal    INTEGER NOT NULL CHECK (principal >= 0),
    -- Exact interest of the days before that stretch, less a multiple of two minor units: in parts, of which a minor unit
    -- has 100000000 * 780699960.
    carried      INTEGER NOT NULL CHECK (carried BETWEEN 0 AND 156139991999999999),
    PRIMARY KEY (loan_key, loan_version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER loan_accruals_refuse_update BEFORE UPDATE ON loan_accruals
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on loan_accruals is refused: the journal is insert-only');
END;

CREATE TRIGGER loan_accruals_refuse_delete BEFORE DELETE ON loan_accruals
BEGIN
    SELECT RAISE(ABORT, 'DELETE on loan_accruals is refused: the journal is insert-only');
END;
