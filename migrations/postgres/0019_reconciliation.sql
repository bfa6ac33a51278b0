-- Whether the books add up: events counted for conservation, runs of reconciliation, and whose turn it is to make them.

-- Events with a slot up to `counted_to` are counted below, once. Nothing new can appear there: it follows the sweeper's
-- mark. The one process that has the lease counts on, and reconciles.
CREATE TABLE reconciler (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder     uuid,
    leased_to  timestamptz NOT NULL DEFAULT '-infinity',
    counted_to bigint NOT NULL DEFAULT 0
);
INSERT INTO reconciler DEFAULT VALUES;

CREATE TABLE conservation_counts (
    tenant   uuid PRIMARY KEY,
    posted   bigint NOT NULL CHECK (posted >= 0),
    rejected bigint NOT NULL CHECK (rejected >= 0)
);

-- Counted events that had no posting yet: parked, held, released since, or lost. Few.
CREATE TABLE conservation_waiting (
    event_seq bigint PRIMARY KEY,
    tenant    uuid NOT NULL
);

-- What a run found, for one tenant, currency and day.
CREATE TABLE reconciliation_runs (
    tenant     uuid NOT NULL REFERENCES tenants (id),
    currency   text NOT NULL CHECK (length(currency) = 3),
    as_of_date date NOT NULL,
    checked_at timestamptz NOT NULL,
    -- JSON.
    findings   text NOT NULL,
    PRIMARY KEY (tenant, currency, as_of_date, checked_at)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, UPDATE ON reconciler TO hpts_service;
        GRANT SELECT, INSERT, UPDATE ON conservation_counts TO hpts_service;
        GRANT SELECT, INSERT, DELETE ON conservation_waiting, reconciliation_runs TO hpts_service;
    END IF;
END
$$;
