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

CREATE TABLE payment_batches (
    id         uuid PRIMARY KEY,
    tenant     uuid NOT NULL REFERENCES tenants (id),
    event_seq  bigint REFERENCES events (seq),
    created_at timestamptz NOT NULL
);
