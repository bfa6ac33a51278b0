-- What waits for a person, and uploads.

-- Events that failed to post. Parked once `parked_at` is set; before that the row counts attempts.
CREATE TABLE parked (
    event_seq bigint PRIMARY KEY REFERENCES events (seq),
    loan_key  uuid NOT NULL,
    attempts  integer NOT NULL CHECK (attempts > 0),
    reason    text NOT NULL,
    failed_at timestamptz NOT NULL,
    parked_at timestamptz
);
-- Releasing a loan takes its parked events back.
CREATE INDEX parked_loan ON parked (loan_key);

-- Loans that take no events. `loans.on_hold` says the same of loans that exist; a loan may be held before it does, when
-- the event that would open it cannot be posted.
CREATE TABLE holds (
    loan_key uuid PRIMARY KEY,
    tenant   uuid NOT NULL REFERENCES tenants (id),
    reason   text NOT NULL,
    held_at  timestamptz NOT NULL
);

-- Uploads. An upload is received by one process at a time: the holder of its lease. A lease that ran out may be taken,
-- and the upload goes on.
CREATE TABLE payment_batches (
    id           uuid PRIMARY KEY,
    tenant       uuid NOT NULL REFERENCES tenants (id),
    event_seq    bigint NOT NULL REFERENCES events (seq),
    created_at   timestamptz NOT NULL,
    completed_at timestamptz,
    holder       uuid,
    leased_to    timestamptz NOT NULL DEFAULT '-infinity',
    -- Over the fingerprints of all rows; known at the end.
    fingerprint  bytea CHECK (length(fingerprint) = 32),
    received     bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    duplicates   bigint NOT NULL DEFAULT 0 CHECK (duplicates >= 0),
    mismatched   bigint NOT NULL DEFAULT 0 CHECK (mismatched >= 0),
    invalid      bigint NOT NULL DEFAULT 0 CHECK (invalid >= 0),
    CONSTRAINT payment_batches_complete CHECK ((completed_at IS NULL) = (fingerprint IS NULL))
) WITH (fillfactor = 60);

-- Rows of an upload that made no event of it.
CREATE TABLE batch_exceptions (
    batch_id        uuid NOT NULL REFERENCES payment_batches (id),
    row_no          bigint NOT NULL CHECK (row_no > 0),
    code            text NOT NULL,
    idempotency_key text,
    -- The payment that has the row's key.
    event_id        uuid,
    -- The row of this upload that has it.
    first_row_no    bigint CHECK (first_row_no > 0),
    amount          bigint CHECK (amount >= 0),
    currency        text,
    -- JSON of the failing fields.
    errors          text,
    PRIMARY KEY (batch_id, row_no)
);
