-- What the running processes tell each other: failures, holds, partitions, heartbeats, the sweeper's lease.

-- Events that failed to post. `parked_at` is set once the attempts are used up.
CREATE TABLE parked (
    event_seq INTEGER PRIMARY KEY REFERENCES events (seq),
    loan_key  BLOB NOT NULL CHECK (length(loan_key) = 16),
    attempts  INTEGER NOT NULL CHECK (attempts > 0),
    reason    TEXT NOT NULL,
    failed_at INTEGER NOT NULL,
    parked_at INTEGER
) STRICT;

-- Releasing a loan takes its parked events back.
CREATE INDEX parked_loan ON parked (loan_key);

-- Loans that wait for a person. A loan without its row in `loans` can wait, too.
CREATE TABLE holds (
    loan_key BLOB PRIMARY KEY CHECK (length(loan_key) = 16),
    tenant   BLOB NOT NULL REFERENCES tenants (id),
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

-- The version of the broker's topology that `hpts migrate` made.
CREATE TABLE topology (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version  INTEGER NOT NULL
) STRICT;

INSERT INTO topology (only_row, version) VALUES (1, 1);

-- Api processes: that they live, and from where on their messages are not confirmed.
CREATE TABLE publishers (
    publisher        BLOB PRIMARY KEY CHECK (length(publisher) = 16),
    generation       INTEGER NOT NULL,
    unconfirmed_from INTEGER,
    seen_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each of them accepted: raised in the intake's own transaction.
CREATE TABLE publisher_totals (
    publisher BLOB NOT NULL CHECK (length(publisher) = 16),
    tenant    BLOB NOT NULL CHECK (length(tenant) = 16),
    accepted  INTEGER NOT NULL CHECK (accepted >= 0),
    amount    TEXT NOT NULL,
    PRIMARY KEY (publisher, tenant)
) STRICT, WITHOUT ROWID;

-- Worker processes and the lane slots leased to them.
CREATE TABLE workers (
    worker          BLOB PRIMARY KEY CHECK (length(worker) = 16),
    lanes           INTEGER NOT NULL CHECK (lanes > 0),
    first_lane_slot INTEGER NOT NULL CHECK (first_lane_slot BETWEEN 0 AND 255),
    seen_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The sweeper's lease, and the mark below which everything is finished, parked or held. `releases` counts the holds
-- that were lifted: a round that ran meanwhile must not move the mark.
CREATE TABLE sweeper (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    holder    BLOB CHECK (length(holder) = 16),
    leased_to INTEGER NOT NULL,
    mark      INTEGER NOT NULL,
    releases  INTEGER NOT NULL
) STRICT;

INSERT INTO sweeper (only_row, leased_to, mark, releases) VALUES (1, 0, 0, 0);
