-- How far loans are accrued: one row behind every posting whose interest was computed. Only what is read of a loan's past
-- depends on it; the postings say the same. The last row of a loan counts, until something comes that it does not know.

CREATE TABLE loan_accruals (
    loan_key     uuid NOT NULL REFERENCES loans (loan_key),
    -- The accrual among the loan's postings.
    loan_version bigint NOT NULL CHECK (loan_version > 0),
    -- The first day that no accrual covers.
    until_date   date NOT NULL,
    -- The first day of the stretch of unchanged principal before it, and that principal.
    since_date   date NOT NULL CHECK (since_date <= until_date),
    principal    bigint NOT NULL CHECK (principal >= 0),
    -- Exact interest of the days before that stretch, less a multiple of two minor units: in parts, of which a minor unit
    -- has 100000000 * 780699960.
    carried      bigint NOT NULL CHECK (carried BETWEEN 0 AND 156139991999999999),
    PRIMARY KEY (loan_key, loan_version)
);

CREATE TRIGGER loan_accruals_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loan_accruals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE loan_accruals ENABLE ALWAYS TRIGGER loan_accruals_insert_only;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON loan_accruals TO hpts_service;
    END IF;
END
$$;
