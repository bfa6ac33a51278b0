-- What the running processes tell each other: failures, holds, partitions, heartbeats, the sweeper's lease.

-- Events that failed to post. `parked_at` is set once the attempts are used up.
CREATE TABLE parked (
    event_seq       INTEGER PRIMARY KEY REFERENCES events (seq),
    loan_key        BLOB NOT NULL CHECK (length(loan_key) = 16),
    attempts        INTEGER NOT NULL CHECK (attempts > 0),
    reason          TEXT NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at  INTEGER NOT NULL,
    parked_at       INTEGER
) STRICT;

-- Loans that wait for a person. A loan without its row in `loans` can wait, too.
CREATE TABLE holds (
    loan_key BLOB PRIMARY KEY CHECK (length(loan_key) = 16),
    tenant   BLOB NOT NULL CHECK (length(tenant) = 16),
    reason   TEXT NOT NULL,
    held_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which slot belongs to which partition; the greatest generation is the current one.
CREATE TABLE slots (
    generation INTEGER NOT NULL CHECK (generation > 0),
    slot       INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    partition  INTEGER NOT NULL CHECK (partition >= 0),
    PRIMARY KEY (generation, slot)
) STRICT, WITHOUT ROWID;

-- Api processes.
CREATE TABLE publishers (
    publisher        BLOB PRIMARY KEY CHECK (length(publisher) = 16),
    generation       INTEGER,
    unconfirmed_from INTEGER,
    beat_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each of them accepted: raised in the intake's own transaction.
CREATE TABLE publisher_totals (
    publisher BLOB NOT NULL REFERENCES publishers (publisher),
    tenant    BLOB NOT NULL CHECK (length(tenant) = 16),
    accepted  INTEGER NOT NULL,
    amount    TEXT NOT NULL,
    PRIMARY KEY (publisher, tenant)
) STRICT, WITHOUT ROWID;

-- Worker processes and the lane slots leased to them.
CREATE TABLE workers (
    worker          BLOB PRIMARY KEY CHECK (length(worker) = 16),
    lanes           INTEGER NOT NULL CHECK (lanes > 0),
    first_lane_slot INTEGER NOT NULL CHECK (first_lane_slot BETWEEN 0 AND 255),
    beat_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The sweeper's lease, and the mark below which everything is finished, parked or held. `releases` counts the holds
-- that were lifted: a round that ran meanwhile must not move the mark.
CREATE TABLE sweeper (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    worker       BLOB CHECK (length(worker) = 16),
    leased_until INTEGER NOT NULL,
    mark         INTEGER NOT NULL,
    releases     INTEGER NOT NULL
) STRICT;

INSERT INTO sweeper (id, leased_until, mark, releases) VALUES (1, 0, 0, 0);
