-- What the check of loans has found, and since when every loan was checked.

-- Loans whose row does not hold what their postings add up to, or whose chain is broken. A loan found sound again leaves.
CREATE TABLE loan_faults (
    loan_key uuid NOT NULL,
    tenant   uuid NOT NULL,
    loan_id  uuid NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    kind     text NOT NULL CHECK (kind IN ('balance', 'chain')),
    -- The first event whose posting is not what its hash covers.
    event_id uuid,
    detail   text NOT NULL,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (loan_key, kind)
);
-- The faults of a tenant's books, for the status of reconciliation.
CREATE INDEX loan_faults_books ON loan_faults (tenant, currency, kind, loan_id);

ALTER TABLE reconciler ADD COLUMN loans_checked_at timestamptz;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON loan_faults TO hpts_service;
    END IF;
END
$$;
