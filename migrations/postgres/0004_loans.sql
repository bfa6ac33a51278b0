-- A loan as it stands after its last posting: the only hot updated rows. Fillfactor 60 and no index on anything that
-- changes keep every update heap-only. A row of version 0 lives only inside the transaction that opens the loan.

CREATE TABLE loans (
    version                 bigint NOT NULL CHECK (version >= 0),
    last_posted_seq         bigint NOT NULL,
    last_posted_at          timestamptz NOT NULL,
    fees                    bigint NOT NULL CHECK (fees >= 0),
    interest                bigint NOT NULL CHECK (interest >= 0),
    principal               bigint NOT NULL CHECK (principal >= 0),
    suspense                bigint NOT NULL CHECK (suspense >= 0),
    opened_on               date NOT NULL,
    greatest_effective_date date NOT NULL,
    on_hold                 boolean NOT NULL DEFAULT false,
    loan_key                uuid PRIMARY KEY,
    tenant                  uuid NOT NULL REFERENCES tenants (id),
    loan_id                 uuid NOT NULL,
    borrower_id             uuid NOT NULL,
    -- As the caller named it: a program may be described later than its loans.
    program_id              uuid,
    currency                text NOT NULL CHECK (length(currency) = 3),
    status                  text NOT NULL CHECK (status IN ('open', 'written_off')),
    waterfall               text NOT NULL,
    chain_head              bytea NOT NULL CHECK (length(chain_head) = 32),
    loan_number             text,
    -- Without leading zeros: the form it is unique and searched by.
    loan_number_comparable  text,
    CONSTRAINT loans_number CHECK ((loan_number IS NULL) = (loan_number_comparable IS NULL))
) WITH (fillfactor = 60);

-- One loan number names one loan of a tenant.
CREATE UNIQUE INDEX loans_number_once ON loans (tenant, loan_number_comparable)
    WHERE loan_number_comparable IS NOT NULL;
