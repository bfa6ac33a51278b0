-- Loans whose hold refuses: what comes is rejected `loan_on_hold` instead of waiting. `loans.on_hold` is true for them as
-- well, so a batch looks here only where it meets a loan on hold. A loan that stands in `holds` too, because one of its
-- events is parked, waits.
CREATE TABLE refusing_holds (
    loan_key uuid PRIMARY KEY,
    tenant   uuid NOT NULL REFERENCES tenants (id),
    reason   text NOT NULL,
    held_at  timestamptz NOT NULL
);

-- How many holds were lifted or began to refuse: a sweeper that sees it rise looks again from the mark on.
ALTER TABLE sweeper ADD COLUMN releases bigint NOT NULL DEFAULT 0;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON refusing_holds TO hpts_service;
    END IF;
END
$$;
