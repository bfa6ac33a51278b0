-- The operations of the whole contract: their kinds of events, their refusals, and what a loan remembers of them.
--
-- SQLite cannot change a CHECK: the three tables are made anew, with their rows. Nobody else is in the file, and foreign
-- keys are not looked at until the end.

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
            'recovery', 'refinance', 'restructure', 'reversal', 'manual_adjustment')),
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

CREATE TABLE postings_rebuilt (
    event_seq            INTEGER PRIMARY KEY,
    loan_key             BLOB CHECK (length(loan_key) = 16),
    loan_version         INTEGER CHECK (loan_version > 0),
    outcome              TEXT NOT NULL CHECK (outcome IN ('posted', 'rejected', 'done')),
    rejection_code       TEXT CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch',
        'loan_closed', 'loan_exists', 'effective_before_opening', 'already_undone', 'not_reversible',
        'insufficient_balance', 'loan_on_hold', 'amount_overflow', 'limit_exceeded', 'period_closed',
        'principal_mismatch', 'discarded')),
    accounts             TEXT NOT NULL,
    amounts              TEXT NOT NULL,
    layer                TEXT NOT NULL CHECK (layer IN ('SETTLED', 'PENDING', 'ENCUMBRANCE')),
    alloc_fees           INTEGER CHECK (alloc_fees >= 0),
    alloc_interest       INTEGER CHECK (alloc_interest >= 0),
    alloc_principal      INTEGER CHECK (alloc_principal >= 0),
    alloc_suspense       INTEGER CHECK (alloc_suspense >= 0),
    undoes_seq           INTEGER,
    restates_seq         INTEGER,
    effective_date       TEXT NOT NULL CHECK (length(effective_date) = 10),
    booking_date         TEXT NOT NULL CHECK (length(booking_date) = 10),
    posted_at            INTEGER NOT NULL,
    chain_hash           BLOB CHECK (length(chain_hash) = 32),
    -- The body of an operation that the api finished itself.
    answer               BLOB,
    CONSTRAINT postings_rejection CHECK ((outcome = 'rejected') = (rejection_code IS NOT NULL)),
    CONSTRAINT postings_chain CHECK ((loan_version IS NULL) = (chain_hash IS NULL)),
    CONSTRAINT postings_version CHECK (outcome <> 'posted' OR (loan_version IS NOT NULL AND loan_key IS NOT NULL)),
    CONSTRAINT postings_lines CHECK (amounts = '[]' OR outcome = 'posted'),
    CONSTRAINT postings_links CHECK (outcome = 'posted' OR (undoes_seq IS NULL AND restates_seq IS NULL)),
    CONSTRAINT postings_allocation CHECK (
        (alloc_fees IS NULL) = (alloc_interest IS NULL)
        AND (alloc_fees IS NULL) = (alloc_principal IS NULL)
        AND (alloc_fees IS NULL) = (alloc_suspense IS NULL))
) STRICT;

INSERT INTO postings_rebuilt (event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer, alloc_fees,
    alloc_interest, alloc_principal, alloc_suspense, undoes_seq, restates_seq, effective_date, booking_date,
    posted_at, chain_hash, answer)
SELECT event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer, alloc_fees,
    alloc_interest, alloc_principal, alloc_suspense, undoes_seq, restates_seq, effective_date, booking_date,
    posted_at, chain_hash, answer
FROM postings;
DROP TABLE postings;
ALTER TABLE postings_rebuilt RENAME TO postings;

-- The postings of a loan in order, without a gap: entries, past balances, the chain.
CREATE UNIQUE INDEX postings_loan_version ON postings (loan_key, loan_version);
-- An event is undone once; what undid it.
CREATE UNIQUE INDEX postings_undoes ON postings (undoes_seq) WHERE undoes_seq IS NOT NULL;
-- The current split of a payment: the last posting that restates it.
CREATE UNIQUE INDEX postings_restates ON postings (restates_seq, event_seq) WHERE restates_seq IS NOT NULL;

-- Lines balance, have no NULL or zero among them, and as many accounts as amounts. The amounts are added up in two
-- halves of 32 bits, so that no sum of 32,767 lines can leave 64 bits; `-low = high * 2^32` holds for zero alone.
-- ROLLBACK rather than ABORT: nobody goes on after a refusal, and ABORT costs a copy of every page touched.
CREATE TRIGGER postings_lines_balance BEFORE INSERT ON postings WHEN NEW.amounts <> '[]' OR NEW.accounts <> '[]'
BEGIN
    SELECT RAISE(ROLLBACK, 'postings_lines_balance')
    FROM (SELECT count(*) AS lines,
                 count(CASE WHEN typeof(value) = 'integer' AND value <> 0 THEN 1 END) AS sound,
                 sum(value >> 32) AS high,
                 sum(value & 4294967295) AS low
          FROM json_each(NEW.amounts))
    WHERE lines < 2 OR lines > 32767 OR sound <> lines
       OR -low <> high * 4294967296
       OR lines <> (SELECT count(CASE WHEN typeof(value) = 'integer' AND value BETWEEN 0 AND 9999 THEN 1 END)
                    FROM json_each(NEW.accounts))
       OR lines <> json_array_length(NEW.accounts);
END;

-- Only the opening of a loan without balances is posted without moving anything.
CREATE TRIGGER postings_move_money BEFORE INSERT ON postings WHEN NEW.amounts = '[]' AND NEW.outcome = 'posted'
BEGIN
    SELECT RAISE(ROLLBACK, 'postings_move_money')
    WHERE NEW.alloc_fees IS NOT NULL
       OR (SELECT kind FROM events WHERE seq = NEW.event_seq) IS NOT 'loan_opened';
END;

CREATE TRIGGER postings_refuse_update BEFORE UPDATE ON postings
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on postings is refused: the journal is insert-only');
END;

CREATE TRIGGER postings_refuse_delete BEFORE DELETE ON postings
BEGIN
    SELECT RAISE(ABORT, 'DELETE on postings is refused: the journal is insert-only');
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

CREATE TABLE loans_rebuilt (
    loan_key                BLOB PRIMARY KEY CHECK (length(loan_key) = 16),
    tenant                  BLOB NOT NULL REFERENCES tenants (id),
    loan_id                 BLOB NOT NULL CHECK (length(loan_id) = 16),
    loan_number             TEXT,
    loan_number_comparable  TEXT,
    borrower_id             BLOB NOT NULL CHECK (length(borrower_id) = 16),
    -- As the caller named it: a program may be described later than its loans.
    program_id              BLOB CHECK (length(program_id) = 16),
    currency                TEXT NOT NULL CHECK (length(currency) = 3),
    opened_on               TEXT NOT NULL CHECK (length(opened_on) = 10),
    status                  TEXT NOT NULL CHECK (status IN ('open', 'charged_off', 'written_off')),
    fees                    INTEGER NOT NULL CHECK (fees >= 0),
    interest                INTEGER NOT NULL CHECK (interest >= 0),
    principal               INTEGER NOT NULL CHECK (principal >= 0),
    suspense                INTEGER NOT NULL CHECK (suspense >= 0),
    waterfall               TEXT NOT NULL,
    version                 INTEGER NOT NULL CHECK (version >= 0),
    last_posted_seq         INTEGER NOT NULL,
    greatest_effective_date TEXT NOT NULL CHECK (length(greatest_effective_date) = 10),
    last_posted_at          INTEGER NOT NULL,
    chain_head              BLOB NOT NULL CHECK (length(chain_head) = 32),
    -- What was charged off and is still owed: it stands on the memo accounts.
    memo_fees               INTEGER NOT NULL DEFAULT 0 CHECK (memo_fees >= 0),
    memo_interest           INTEGER NOT NULL DEFAULT 0 CHECK (memo_interest >= 0),
    memo_principal          INTEGER NOT NULL DEFAULT 0 CHECK (memo_principal >= 0),
    charged_off_on          TEXT CHECK (length(charged_off_on) = 10),
    -- Who bears the loss and gets what is recovered.
    loss_account            TEXT CHECK (loss_account IN ('expense', 'allowance')),
    -- What becomes of suspense when new debt arises.
    suspense_release        TEXT NOT NULL DEFAULT 'manual' CHECK (suspense_release IN ('manual', 'automatic')),
    CONSTRAINT loans_charged_off CHECK ((charged_off_on IS NULL) = (loss_account IS NULL)
        AND (charged_off_on IS NOT NULL OR (memo_fees = 0 AND memo_interest = 0 AND memo_principal = 0))),
    CONSTRAINT loans_number CHECK ((loan_number IS NULL) = (loan_number_comparable IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO loans_rebuilt (loan_key, tenant, loan_id, loan_number, loan_number_comparable, borrower_id, program_id, currency,
    opened_on, status, fees, interest, principal, suspense, waterfall, version, last_posted_seq,
    greatest_effective_date, last_posted_at, chain_head)
SELECT loan_key, tenant, loan_id, loan_number, loan_number_comparable, borrower_id, program_id, currency,
    opened_on, status, fees, interest, principal, suspense, waterfall, version, last_posted_seq,
    greatest_effective_date, last_posted_at, chain_head
FROM loans;
DROP TABLE loans;
ALTER TABLE loans_rebuilt RENAME TO loans;

-- A lender's number names one loan; compared without leading zeros.
CREATE UNIQUE INDEX loans_number_once ON loans (tenant, loan_number_comparable)
    WHERE loan_number_comparable IS NOT NULL;

-- Whether charge-offs go against an allowance, or are an expense of the period.
ALTER TABLE tenants ADD COLUMN loss_account TEXT NOT NULL DEFAULT 'expense'
    CHECK (loss_account IN ('expense', 'allowance'));
