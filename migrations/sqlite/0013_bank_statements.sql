-- Bank statements: the accounts they are of, their lines, and the kind of event that books what the bank has moved.
--
-- SQLite cannot change a CHECK: `events` is made anew, with its rows. Nobody else is in the file, and foreign keys are not
-- looked at until the end.

DROP VIEW journal_lines;
DROP TRIGGER postings_move_money;

CREATE TABLE events_rebuilt (
    seq             INTEGER PRIMARY KEY,
    id              BLOB NOT NULL CHECK (length(id) = 16),
    tenant          BLOB NOT NULL CHECK (length(tenant) = 16),
    kind            TEXT NOT NULL
        CHECK (kind IN ('payment_received', 'disbursement', 'loan_opened', 'payment_allocated', 'payment_returned',
            'fee_assessed', 'unidentified_receipt', 'upload', 'disbursement_settled', 'accrual', 'fee_waived',
            'suspense_applied', 'suspense_refunded', 'suspense_transferred', 'receipt_assigned', 'chargeoff',
            'recovery', 'refinance', 'restructure', 'reversal', 'manual_adjustment', 'bank_settled')),
    loan_key        BLOB CHECK (length(loan_key) = 16),
    loan_id         BLOB CHECK (length(loan_id) = 16),
    borrower_id     BLOB CHECK (length(borrower_id) = 16),
    amount          INTEGER CHECK (amount > 0),
    currency        TEXT CHECK (length(currency) = 3),
    effective_date  TEXT CHECK (length(effective_date) = 10),
    source_method   TEXT CHECK (source_method IN
        ('ach', 'card', 'check', 'wire', 'cash', 'rtp', 'fednow', 'lockbox', 'internal')),
    external_ref    TEXT,
    metadata        TEXT,
    details         TEXT,
    key             TEXT,
    key_hash        BLOB NOT NULL CHECK (length(key_hash) = 16),
    fingerprint     BLOB CHECK (length(fingerprint) = 32),
    cause_seq       INTEGER,
    group_seq       INTEGER,
    leg             INTEGER,
    batch_id        BLOB CHECK (length(batch_id) = 16),
    row_no          INTEGER,
    slot            INTEGER CHECK (slot BETWEEN 0 AND 4095),
    publisher       BLOB NOT NULL CHECK (length(publisher) = 16),
    actor           TEXT NOT NULL,
    accepted_at     INTEGER NOT NULL,
    -- What is queued names its loan; what stands on no loan is never queued.
    CONSTRAINT events_queued CHECK (slot IS NULL OR (kind <> 'upload' AND loan_key IS NOT NULL AND loan_id IS NOT NULL
        AND borrower_id IS NOT NULL AND currency IS NOT NULL AND effective_date IS NOT NULL
        AND fingerprint IS NOT NULL)),
    -- What is no consequence carries its caller's key, or is a leg of a group.
    CONSTRAINT events_key CHECK (key IS NOT NULL OR cause_seq IS NOT NULL OR group_seq IS NOT NULL),
    CONSTRAINT events_group CHECK ((group_seq IS NULL) = (leg IS NULL)),
    CONSTRAINT events_batch CHECK ((batch_id IS NULL) = (row_no IS NULL))
) STRICT;

INSERT INTO events_rebuilt (seq, id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, effective_date, source_method,
    external_ref, metadata, details, key, key_hash, fingerprint, cause_seq, group_seq, leg, batch_id, row_no,
    slot, publisher, actor, accepted_at)
SELECT seq, id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, effective_date, source_method,
    external_ref, metadata, details, key, key_hash, fingerprint, cause_seq, group_seq, leg, batch_id, row_no,
    slot, publisher, actor, accepted_at
FROM events;
DROP TABLE events;
ALTER TABLE events_rebuilt RENAME TO events;

-- A key is taken once; the intake's conflict target.
CREATE UNIQUE INDEX events_key_hash ON events (key_hash);
-- An event, or the event of an entry, by its id.
CREATE UNIQUE INDEX events_id ON events (id);
-- A loan's events in order: the drain of a batch, a loan's payments, a payment's position.
CREATE INDEX events_loan_seq ON events (loan_key, seq);
-- The rows of an upload.
CREATE INDEX events_batch_row ON events (batch_id, row_no) WHERE batch_id IS NOT NULL;
-- The legs of a group.
CREATE INDEX events_group_leg ON events (group_seq, leg) WHERE group_seq IS NOT NULL;

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on events is refused: the journal is insert-only');
END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'DELETE on events is refused: the journal is insert-only');
END;

-- Only the opening of a loan without balances, and such a leg, are posted without moving anything.
CREATE TRIGGER postings_move_money BEFORE INSERT ON postings WHEN NEW.amounts = '[]' AND NEW.outcome = 'posted'
BEGIN
    SELECT RAISE(ROLLBACK, 'postings_move_money')
    WHERE NEW.alloc_fees IS NOT NULL
       OR NOT EXISTS (SELECT 1 FROM events
                      WHERE seq = NEW.event_seq AND (kind = 'loan_opened' OR group_seq IS NOT NULL));
END;

-- The journal as rows, for people and auditors.
CREATE VIEW journal_lines AS
SELECT e.tenant, p.event_seq, p.loan_key, p.loan_version, account.key + 1 AS line_number, account.value AS account,
       CASE WHEN amount.value > 0 THEN 'DR' ELSE 'CR' END AS direction, ltrim(amount.value, '-') AS amount,
       amount.value AS signed_amount, e.currency, p.layer, p.effective_date, p.booking_date, p.posted_at
FROM postings AS p
JOIN events AS e ON e.seq = p.event_seq
JOIN json_each(p.accounts) AS account
JOIN json_each(p.amounts) AS amount ON amount.key = account.key;

-- The bank accounts that statements have come for. What an account held before its first statement is booked once.
CREATE TABLE bank_accounts (
    tenant               BLOB NOT NULL REFERENCES tenants (id),
    bank_account_ref     TEXT NOT NULL CHECK (bank_account_ref <> ''),
    currency             TEXT NOT NULL CHECK (length(currency) = 3),
    -- The loan of our own that its cash stands on.
    loan_key             BLOB NOT NULL CHECK (length(loan_key) = 16),
    first_statement_date TEXT NOT NULL CHECK (length(first_statement_date) = 10),
    PRIMARY KEY (tenant, bank_account_ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE bank_statements (
    batch_id         BLOB PRIMARY KEY REFERENCES payment_batches (id),
    tenant           BLOB NOT NULL,
    bank_account_ref TEXT NOT NULL,
    currency         TEXT NOT NULL CHECK (length(currency) = 3),
    statement_date   TEXT NOT NULL CHECK (length(statement_date) = 10),
    opening_balance  INTEGER NOT NULL,
    closing_balance  INTEGER NOT NULL,
    line_count       INTEGER NOT NULL CHECK (line_count >= 0),
    -- Of all that it says.
    sha256           BLOB NOT NULL CHECK (length(sha256) = 32),
    received_at      INTEGER NOT NULL,
    -- A bank account has one statement a day.
    CONSTRAINT bank_statements_once UNIQUE (tenant, bank_account_ref, statement_date),
    FOREIGN KEY (tenant, bank_account_ref) REFERENCES bank_accounts (tenant, bank_account_ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE bank_statement_lines (
    batch_id         BLOB NOT NULL REFERENCES bank_statements (batch_id),
    line_no          INTEGER NOT NULL CHECK (line_no > 0),
    tenant           BLOB NOT NULL,
    booking_date     TEXT NOT NULL CHECK (length(booking_date) = 10),
    -- What came in is positive, what went out negative.
    amount           INTEGER NOT NULL CHECK (amount <> 0),
    reference        TEXT,
    description      TEXT,
    state            TEXT NOT NULL CHECK (state IN ('open', 'cleared', 'matched', 'posted')),
    -- Why it is open.
    open_reason      TEXT,
    -- The event whose clearing or cash it is.
    matched_event    BLOB CHECK (length(matched_event) = 16),
    -- The event that books it.
    settlement_event BLOB CHECK (length(settlement_event) = 16),
    resolution_reason TEXT,
    resolved_by      TEXT,
    resolved_at      INTEGER,
    PRIMARY KEY (batch_id, line_no),
    CONSTRAINT bank_statement_lines_open CHECK ((state = 'open') = (open_reason IS NOT NULL)),
    CONSTRAINT bank_statement_lines_matched CHECK ((state IN ('cleared', 'matched')) = (matched_event IS NOT NULL)),
    CONSTRAINT bank_statement_lines_settled CHECK ((state IN ('cleared', 'posted')) = (settlement_event IS NOT NULL)),
    CONSTRAINT bank_statement_lines_resolved CHECK ((resolution_reason IS NULL) = (resolved_by IS NULL)
        AND (resolution_reason IS NULL) = (resolved_at IS NULL) AND (resolved_by IS NULL OR state <> 'open'))
) STRICT, WITHOUT ROWID;
-- The clearing, or the cash, of an event is one line's.
CREATE UNIQUE INDEX bank_statement_lines_event ON bank_statement_lines (matched_event) WHERE matched_event IS NOT NULL;
-- The open lines of a tenant, oldest statement first.
CREATE INDEX bank_statement_lines_waiting ON bank_statement_lines (tenant, batch_id, line_no) WHERE state = 'open';
-- The lines of a statement whose cash other events have booked, for reconciliation.
CREATE INDEX bank_statement_lines_cash ON bank_statement_lines (batch_id, line_no) WHERE state = 'matched';
