-- Late fees: refused for payments that came in on time, and found for review by their loan.
--
-- SQLite cannot change a CHECK: `postings` is made anew, with its rows. Nobody else is in the file, and foreign keys are
-- not looked at until the end.

DROP VIEW journal_lines;

CREATE TABLE postings_rebuilt (
    event_seq            INTEGER PRIMARY KEY,
    loan_key             BLOB CHECK (length(loan_key) = 16),
    loan_version         INTEGER CHECK (loan_version > 0),
    outcome              TEXT NOT NULL CHECK (outcome IN ('posted', 'rejected', 'done')),
    rejection_code       TEXT CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch',
        'loan_closed', 'loan_exists', 'effective_before_opening', 'already_undone', 'not_reversible',
        'insufficient_balance', 'loan_on_hold', 'amount_overflow', 'limit_exceeded', 'period_closed',
        'principal_mismatch', 'paid_on_time', 'discarded')),
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

-- Only the opening of a loan without balances, and such a leg, are posted without moving anything.
CREATE TRIGGER postings_move_money BEFORE INSERT ON postings WHEN NEW.amounts = '[]' AND NEW.outcome = 'posted'
BEGIN
    SELECT RAISE(ROLLBACK, 'postings_move_money')
    WHERE NEW.alloc_fees IS NOT NULL
       OR NOT EXISTS (SELECT 1 FROM events
                      WHERE seq = NEW.event_seq AND (kind = 'loan_opened' OR group_seq IS NOT NULL));
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

-- The fees that say for which payment they are; nothing else is in it.
CREATE INDEX events_late_fees ON events (tenant, loan_key, effective_date)
    WHERE kind = 'fee_assessed' AND instr(details, '"late_for":') > 0;
