-- The feed: one row per posting transaction and tenant. Readers take rows of transactions that are over for everybody
-- (`xact < pg_snapshot_xmin(pg_current_snapshot())`), so nothing is skipped.

-- Raised by a restore, after which transaction numbers begin anew.
CREATE TABLE epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number   integer NOT NULL
);
INSERT INTO epoch (number) VALUES (1);

-- Without a foreign key to tenants: it would lock the tenant's row in every posting transaction.
CREATE TABLE changes (
    tenant uuid NOT NULL,
    epoch  integer NOT NULL,
    xact   bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    seqs   bigint[] NOT NULL CHECK (cardinality(seqs) > 0),
    PRIMARY KEY (tenant, epoch, xact)
);
