-- What came of an event: one row per finished event, insert-only (see 0008). The primary key is the inbox: an event is
-- finished exactly when its row is here. No foreign keys, as for events.

-- Whether the amounts of an entry sum to zero, for entries too long for the inline CHECK.
CREATE FUNCTION lines_balance(amounts bigint[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT sum(line.amount::numeric) = 0 FROM unnest(amounts) AS line (amount));

CREATE TABLE postings (
    event_seq        bigint NOT NULL,
    loan_version     bigint CHECK (loan_version > 0),
    posted_at        timestamptz NOT NULL,
    alloc_fees       bigint CHECK (alloc_fees >= 0),
    alloc_interest   bigint CHECK (alloc_interest >= 0),
    alloc_principal  bigint CHECK (alloc_principal >= 0),
    alloc_suspense   bigint CHECK (alloc_suspense >= 0),
    undoes_seq       bigint,
    restates_seq     bigint,
    effective_date   date NOT NULL,
    booking_date     date NOT NULL,
    loan_key         uuid NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN ('posted', 'rejected', 'done')),
    layer            text NOT NULL CHECK (layer IN ('SETTLED', 'PENDING', 'ENCUMBRANCE')),
    -- Debits positive, credits negative; one element of each array a line.
    accounts         smallint[] NOT NULL,
    amounts          bigint[] NOT NULL,
    chain_hash       bytea CHECK (length(chain_hash) = 32),
    rejection_code   text CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch',
        'loan_closed', 'loan_exists', 'effective_before_opening', 'already_undone', 'not_reversible', 'amount_overflow',
        'discarded')),
    -- The body of an operation that the api finished itself.
    answer           bytea,
    CONSTRAINT postings_pkey PRIMARY KEY (event_seq),
    CONSTRAINT postings_rejection CHECK ((outcome = 'rejected') = (rejection_code IS NOT NULL)),
    CONSTRAINT postings_chain CHECK ((loan_version IS NULL) = (chain_hash IS NULL)),
    CONSTRAINT postings_allocation CHECK (num_nulls(alloc_fees, alloc_interest, alloc_principal, alloc_suspense)
        IN (0, 4)),
    CONSTRAINT postings_versioned CHECK (outcome <> 'posted' OR loan_version IS NOT NULL),
    CONSTRAINT postings_links CHECK (outcome = 'posted' OR (undoes_seq IS NULL AND restates_seq IS NULL)),
    -- The arrays pair up, begin at 1 and have one dimension: an element beyond the end reads as NULL and a NULL CHECK
    -- passes, so nothing below may depend on luck.
    CONSTRAINT postings_lines_shape CHECK (
        cardinality(accounts) = cardinality(amounts)
        AND coalesce(array_ndims(accounts), 1) = 1 AND coalesce(array_ndims(amounts), 1) = 1
        AND coalesce(array_lower(accounts, 1), 1) = 1 AND coalesce(array_lower(amounts, 1), 1) = 1
        AND array_position(accounts, NULL) IS NULL AND array_position(amounts, NULL) IS NULL
        AND array_position(amounts, 0::bigint) IS NULL),
    -- An opening without balances is posted without lines; a payment, which has an allocation, never is.
    CONSTRAINT postings_lines_present CHECK (CASE WHEN cardinality(amounts) = 0
        THEN outcome <> 'posted' OR alloc_fees IS NULL ELSE outcome = 'posted' END),
    -- Debits equal credits. Up to eight lines inline (0.8 microseconds), longer entries through the function.
    CONSTRAINT postings_lines_balance CHECK (CASE WHEN cardinality(amounts) <= 8
        THEN coalesce(amounts[1], 0)::numeric + coalesce(amounts[2], 0) + coalesce(amounts[3], 0)
            + coalesce(amounts[4], 0) + coalesce(amounts[5], 0) + coalesce(amounts[6], 0)
            + coalesce(amounts[7], 0) + coalesce(amounts[8], 0) = 0
        ELSE lines_balance(amounts) END)
);

-- A loan's history in order: entries, statements, verify, the timeline of a backdated item; and the last defence
-- against two lanes posting one loan.
CREATE UNIQUE INDEX postings_loan_version ON postings (loan_key, loan_version);
-- An event is undone once; finds what undid it. A plain payment is not in it.
CREATE UNIQUE INDEX postings_undoes ON postings (undoes_seq) WHERE undoes_seq IS NOT NULL;
-- The current split of a payment is the last posting that restates it. A plain payment is not in it.
CREATE INDEX postings_restates ON postings (restates_seq) WHERE restates_seq IS NOT NULL;

-- The journal as rows, for people and auditors.
CREATE VIEW journal_lines AS
SELECT e.tenant, p.event_seq, p.loan_key, p.loan_version, line.number::smallint AS line_number, line.account,
       CASE WHEN line.amount > 0 THEN 'DR' ELSE 'CR' END AS direction, abs(line.amount::numeric) AS amount,
       line.amount AS signed_amount, e.currency, p.layer, p.effective_date, p.booking_date, p.posted_at
FROM postings p
JOIN events e ON e.seq = p.event_seq
CROSS JOIN LATERAL unnest(p.accounts, p.amounts) WITH ORDINALITY AS line (account, amount, number);
