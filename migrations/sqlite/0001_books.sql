-- The books: what was accepted, what came of it, and how the loans stand.
--
-- Ids, keys and hashes are BLOBs, dates TEXT 'YYYY-MM-DD', instants INTEGER microseconds since 1970, amounts INTEGER
-- minor units. Sums that may leave 64 bits are TEXT decimals that the one writer adds up: SQLite's own integers would
-- turn into floats silently.

-- One row per accepted command. Insert-only. Columns that only finished-born events (slot NULL) may lack are nullable.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY,
    id              BLOB NOT NULL CHECK (length(id) = 16),
    tenant          BLOB NOT NULL CHECK (length(tenant) = 16),
    kind            TEXT NOT NULL
        CHECK (kind IN ('payment_received', 'disbursement', 'loan_opened', 'payment_allocated', 'payment_returned',
            'fee_assessed', 'unidentified_receipt', 'upload')),
    loan_key        BLOB CHECK (length(loan_key) = 16),
    loan_id         BLOB CHECK (length(loan_id) = 16),
    borrower_id     BLOB CHECK (length(borrower_id) = 16),
    amount    INTEGER CHECK (amount > 0),
    currency        TEXT CHECK (length(currency) = 3),
    effective_date  TEXT CHECK (length(effective_date) = 10),
    source_method   TEXT CHECK (source_method IN
        ('ach', 'card', 'check', 'wire', 'cash', 'rtp', 'fednow', 'lockbox', 'internal')),
    external_ref    TEXT,
    metadata        TEXT,
    details         TEXT,
    key TEXT,
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
    -- What is queued names its loan.
    CONSTRAINT events_queued CHECK (slot IS NULL OR (loan_key IS NOT NULL AND loan_id IS NOT NULL
        AND borrower_id IS NOT NULL AND currency IS NOT NULL AND effective_date IS NOT NULL
        AND fingerprint IS NOT NULL)),
    -- What is no consequence carries its caller's key, or is a leg of a group.
    CONSTRAINT events_key CHECK (key IS NOT NULL OR cause_seq IS NOT NULL OR group_seq IS NOT NULL),
    CONSTRAINT events_group CHECK ((group_seq IS NULL) = (leg IS NULL)),
    CONSTRAINT events_batch CHECK ((batch_id IS NULL) = (row_no IS NULL))
) STRICT;

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

-- One row per finished event: this is the inbox. Insert-only. Lines are two JSON arrays of equal length: account
-- codes, and signed amounts with debits positive.
CREATE TABLE postings (
    event_seq            INTEGER PRIMARY KEY,
    loan_key             BLOB CHECK (length(loan_key) = 16),
    loan_version         INTEGER CHECK (loan_version > 0),
    outcome              TEXT NOT NULL CHECK (outcome IN ('posted', 'rejected', 'done')),
    rejection_code       TEXT CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch',
        'loan_closed', 'loan_exists', 'effective_before_opening', 'already_undone', 'not_reversible', 'amount_overflow',
        'discarded')),
    accounts             TEXT NOT NULL,
    amounts              TEXT NOT NULL,
    layer                TEXT NOT NULL CHECK (layer IN ('SETTLED', 'PENDING', 'ENCUMBRANCE')),
    alloc_fees      INTEGER CHECK (alloc_fees >= 0),
    alloc_interest  INTEGER CHECK (alloc_interest >= 0),
    alloc_principal INTEGER CHECK (alloc_principal >= 0),
    alloc_suspense  INTEGER CHECK (alloc_suspense >= 0),
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

-- Operators' tenants. Here because loans name theirs.
CREATE TABLE tenants (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    name          TEXT NOT NULL,
    time_zone     TEXT NOT NULL,
    base_currency TEXT NOT NULL CHECK (length(base_currency) = 3),
    future_days   INTEGER NOT NULL CHECK (future_days >= 0),
    payment_limit INTEGER CHECK (payment_limit > 0)
) STRICT, WITHOUT ROWID;

-- One row per loan: the only rows that every posting updates. Version 0 exists only inside the transaction that
-- opens a loan.
CREATE TABLE loans (
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
    status                  TEXT NOT NULL CHECK (status IN ('open', 'written_off')),
    fees              INTEGER NOT NULL CHECK (fees >= 0),
    interest          INTEGER NOT NULL CHECK (interest >= 0),
    principal         INTEGER NOT NULL CHECK (principal >= 0),
    suspense          INTEGER NOT NULL CHECK (suspense >= 0),
    waterfall               TEXT NOT NULL,
    version                 INTEGER NOT NULL CHECK (version >= 0),
    last_posted_seq         INTEGER NOT NULL,
    greatest_effective_date TEXT NOT NULL CHECK (length(greatest_effective_date) = 10),
    last_posted_at          INTEGER NOT NULL,
    chain_head              BLOB NOT NULL CHECK (length(chain_head) = 32),
    CONSTRAINT loans_number CHECK ((loan_number IS NULL) = (loan_number_comparable IS NULL))
) STRICT, WITHOUT ROWID;

-- A lender's number names one loan; compared without leading zeros.
CREATE UNIQUE INDEX loans_number_once ON loans (tenant, loan_number_comparable)
    WHERE loan_number_comparable IS NOT NULL;

-- Debits and credits per account: one upsert per posting transaction.
CREATE TABLE account_totals (
    tenant       BLOB NOT NULL REFERENCES tenants (id),
    account      INTEGER NOT NULL CHECK (account BETWEEN 0 AND 9999),
    currency     TEXT NOT NULL CHECK (length(currency) = 3),
    layer        TEXT NOT NULL,
    booking_date TEXT NOT NULL CHECK (length(booking_date) = 10),
    lane_slot    INTEGER NOT NULL CHECK (lane_slot BETWEEN 0 AND 255),
    debits       TEXT NOT NULL,
    credits      TEXT NOT NULL,
    PRIMARY KEY (tenant, account, currency, layer, booking_date, lane_slot)
) STRICT, WITHOUT ROWID;

-- What became of an upload's rows: one upsert per posting transaction.
CREATE TABLE batch_totals (
    batch_id       BLOB NOT NULL CHECK (length(batch_id) = 16),
    outcome        TEXT NOT NULL,
    currency       TEXT NOT NULL CHECK (length(currency) = 3),
    lane_slot      INTEGER NOT NULL CHECK (lane_slot BETWEEN 0 AND 255),
    count          INTEGER NOT NULL CHECK (count >= 0),
    amount         TEXT NOT NULL,
    last_posted_at INTEGER NOT NULL,
    PRIMARY KEY (batch_id, outcome, currency, lane_slot)
) STRICT, WITHOUT ROWID;

-- The other side of the control totals: what was accepted, raised in the transaction that accepts an upload's rows.
CREATE TABLE batch_accepted (
    batch_id BLOB NOT NULL CHECK (length(batch_id) = 16),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    count    INTEGER NOT NULL CHECK (count >= 0),
    amount   TEXT NOT NULL,
    PRIMARY KEY (batch_id, currency)
) STRICT, WITHOUT ROWID;

-- The feed: one row per posting transaction and tenant, its events as a JSON array. `xact` rises with the commits,
-- because there is one writer.
CREATE TABLE changes (
    xact   INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL CHECK (length(tenant) = 16),
    epoch  INTEGER NOT NULL,
    seqs   TEXT NOT NULL
) STRICT;

-- A tenant's changes from a cursor on.
CREATE INDEX changes_tenant ON changes (tenant, epoch, xact);

-- Raised by `hpts restore`: which life of the database a cursor belongs to.
CREATE TABLE epoch (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    number   INTEGER NOT NULL
) STRICT;

INSERT INTO epoch (only_row, number) VALUES (1, 1);
