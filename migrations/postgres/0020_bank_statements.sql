-- Bank statements: the accounts they are of, their lines, and the kind of event that books what the bank has moved.

ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check
    CHECK (kind IN ('payment_received', 'disbursement', 'loan_opened', 'payment_allocated', 'payment_returned',
        'fee_assessed', 'unidentified_receipt', 'upload', 'disbursement_settled', 'accrual', 'fee_waived',
        'suspense_applied', 'suspense_refunded', 'suspense_transferred', 'receipt_assigned', 'chargeoff', 'recovery',
        'refinance', 'restructure', 'reversal', 'manual_adjustment', 'bank_settled')) NOT VALID;
ALTER TABLE events VALIDATE CONSTRAINT events_kind_check;

-- The bank accounts that statements have come for. What an account held before its first statement is booked once.
CREATE TABLE bank_accounts (
    tenant               uuid NOT NULL REFERENCES tenants (id),
    bank_account_ref     text NOT NULL CHECK (bank_account_ref <> ''),
    currency             text NOT NULL CHECK (length(currency) = 3),
    -- The loan of our own that its cash stands on.
    loan_key             uuid NOT NULL,
    first_statement_date date NOT NULL,
    PRIMARY KEY (tenant, bank_account_ref)
);

CREATE TABLE bank_statements (
    batch_id         uuid PRIMARY KEY REFERENCES payment_batches (id),
    tenant           uuid NOT NULL,
    bank_account_ref text NOT NULL,
    currency         text NOT NULL CHECK (length(currency) = 3),
    statement_date   date NOT NULL,
    opening_balance  bigint NOT NULL,
    closing_balance  bigint NOT NULL,
    line_count       bigint NOT NULL CHECK (line_count >= 0),
    -- Of all that it says.
    sha256           bytea NOT NULL CHECK (length(sha256) = 32),
    received_at      timestamptz NOT NULL,
    -- A bank account has one statement a day.
    CONSTRAINT bank_statements_once UNIQUE (tenant, bank_account_ref, statement_date),
    FOREIGN KEY (tenant, bank_account_ref) REFERENCES bank_accounts (tenant, bank_account_ref)
);

CREATE TABLE bank_statement_lines (
    batch_id          uuid NOT NULL REFERENCES bank_statements (batch_id),
    line_no           bigint NOT NULL CHECK (line_no > 0),
    -- What came in is positive, what went out negative.
    amount            bigint NOT NULL CHECK (amount <> 0),
    tenant            uuid NOT NULL,
    -- The event whose clearing or cash it is.
    matched_event     uuid,
    -- The event that books it.
    settlement_event  uuid,
    resolved_at       timestamptz,
    booking_date      date NOT NULL,
    reference         text,
    description       text,
    state             text NOT NULL CHECK (state IN ('open', 'cleared', 'matched', 'posted')),
    -- Why it is open.
    open_reason       text,
    resolution_reason text,
    resolved_by       text,
    PRIMARY KEY (batch_id, line_no),
    CONSTRAINT bank_statement_lines_open CHECK ((state = 'open') = (open_reason IS NOT NULL)),
    CONSTRAINT bank_statement_lines_matched CHECK ((state IN ('cleared', 'matched')) = (matched_event IS NOT NULL)),
    CONSTRAINT bank_statement_lines_settled CHECK ((state IN ('cleared', 'posted')) = (settlement_event IS NOT NULL)),
    CONSTRAINT bank_statement_lines_resolved CHECK (num_nulls(resolution_reason, resolved_by, resolved_at) IN (0, 3)
        AND (resolved_by IS NULL OR state <> 'open'))
);
-- The clearing, or the cash, of an event is one line's.
CREATE UNIQUE INDEX bank_statement_lines_event ON bank_statement_lines (matched_event) WHERE matched_event IS NOT NULL;
-- The open lines of a tenant, oldest statement first.
CREATE INDEX bank_statement_lines_waiting ON bank_statement_lines (tenant, batch_id, line_no) WHERE state = 'open';
-- The lines of a statement whose cash other events have booked, for reconciliation.
CREATE INDEX bank_statement_lines_cash ON bank_statement_lines (batch_id, line_no) WHERE state = 'matched';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON bank_accounts, bank_statements, bank_statement_lines TO hpts_service;
        GRANT UPDATE ON bank_statement_lines TO hpts_service;
    END IF;
END
$$;
