-- What was accepted. One row per accepted command, insert-only (see 0008). No foreign keys: they cost 8 microseconds
-- a payment, and `hpts verify` proves the links instead.
--
-- Columns stand in the order of their alignment, so that a row has no padding.

CREATE SEQUENCE events_seq;

CREATE TABLE events (
    seq            bigint NOT NULL,
    accepted_at    timestamptz NOT NULL,
    amount         bigint CHECK (amount > 0),
    group_seq      bigint,
    cause_seq      bigint,
    row_no         bigint CHECK (row_no > 0),
    effective_date date NOT NULL,
    leg            integer CHECK (leg > 0),
    slot           smallint CHECK (slot BETWEEN 0 AND 4095),
    id             uuid NOT NULL,
    tenant         uuid NOT NULL,
    loan_key       uuid NOT NULL,
    loan_id        uuid NOT NULL,
    borrower_id    uuid NOT NULL,
    key_hash       uuid NOT NULL,
    publisher      uuid NOT NULL,
    batch_id       uuid,
    kind           text NOT NULL
        CHECK (kind IN ('payment_received', 'disbursement', 'loan_opened', 'payment_allocated', 'payment_returned',
            'fee_assessed', 'unidentified_receipt', 'upload')),
    currency       text NOT NULL CHECK (length(currency) = 3),
    source_method  text
        CHECK (source_method IN ('ach', 'card', 'check', 'wire', 'cash', 'rtp', 'fednow', 'lockbox', 'internal')),
    key            text,
    fingerprint    bytea NOT NULL CHECK (length(fingerprint) = 32),
    actor          text NOT NULL,
    external_ref   text,
    metadata       text,
    details        text,
    CONSTRAINT events_pkey PRIMARY KEY (seq),
    CONSTRAINT events_leg_of_group CHECK ((group_seq IS NULL) = (leg IS NULL)),
    CONSTRAINT events_row_of_batch CHECK ((batch_id IS NULL) = (row_no IS NULL))
);

ALTER SEQUENCE events_seq OWNED BY events.seq;

-- Idempotency: the intake's ON CONFLICT, and the lookup by key.
CREATE UNIQUE INDEX events_key_hash ON events (key_hash);
-- Lookup by id: status, waiting room, hints; listing by time, since ids are UUIDv7.
CREATE UNIQUE INDEX events_id ON events (id);
-- The drain of a loan, and its payments in order.
CREATE INDEX events_loan_seq ON events (loan_key, seq);
-- The rows of an upload; a plain payment is not in it.
CREATE INDEX events_batch_row ON events (batch_id, row_no) WHERE batch_id IS NOT NULL;
-- The legs of a group; a plain payment is not in it.
CREATE INDEX events_group_leg ON events (group_seq, leg) WHERE group_seq IS NOT NULL;
