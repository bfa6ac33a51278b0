-- Whether the books add up: events counted for conservation, runs of reconciliation, and whose turn it is to make them.

-- Events with a slot up to `counted_to` are counted below, once. Nothing new can appear there: it follows the sweeper's
-- mark. The one process that has the lease counts on, and reconciles.
CREATE TABLE reconciler (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    holder     BLOB CHECK (length(holder) = 16),
    leased_to  INTEGER NOT NULL,
    counted_to INTEGER NOT NULL
) STRICT;

INSERT INTO reconciler (only_row, leased_to, counted_to) VALUES (1, 0, 0);

CREATE TABLE conservation_counts (
    tenant   BLOB PRIMARY KEY CHECK (length(tenant) = 16),
    posted   INTEGER NOT NULL CHECK (posted >= 0),
    rejected INTEGER NOT NULL CHECK (rejected >= 0)
) STRICT, WITHOUT ROWID;

-- Counted events that had no posting yet: parked, held, released since, or lost. Few.
CREATE TABLE conservation_waiting (
    event_seq INTEGER PRIMARY KEY,
    tenant    BLOB NOT NULL CHECK (length(tenant) = 16)
) STRICT;

-- What a run found, for one tenant, currency and day.
CREATE TABLE reconciliation_runs (
    tenant     BLOB NOT NULL REFERENCES tenants (id),
    currency   TEXT NOT NULL CHECK (length(currency) = 3),
    as_of_date TEXT NOT NULL CHECK (length(as_of_date) = 10),
    checked_at INTEGER NOT NULL,
    -- JSON.
    findings   TEXT NOT NULL,
    PRIMARY KEY (tenant, currency, as_of_date, checked_at)
) STRICT, WITHOUT ROWID;
