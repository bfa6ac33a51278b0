-- ACH: the feeds that files come through, the files with their bytes, and what returns are matched by.

CREATE TABLE ach_feeds (
    tenant   BLOB NOT NULL REFERENCES tenants (id),
    name     TEXT NOT NULL,
    -- JSON of its settings.
    settings TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- Every file that came, also one that was refused: a return inside it must not be lost.
CREATE TABLE ach_files (
    tenant      BLOB NOT NULL REFERENCES tenants (id),
    sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
    feed        TEXT NOT NULL,
    -- What its header says it is; NULL where it was refused or has no header.
    identity    TEXT,
    received_at INTEGER NOT NULL,
    batch_id    BLOB REFERENCES payment_batches (id),
    -- JSON of what was found in it.
    summary     TEXT,
    bytes       BLOB NOT NULL,
    PRIMARY KEY (tenant, sha256)
) STRICT;
-- Two files with one identity are a conflict.
CREATE UNIQUE INDEX ach_files_identity ON ach_files (tenant, identity) WHERE identity IS NOT NULL;
-- The file of an upload.
CREATE UNIQUE INDEX ach_files_batch ON ach_files (batch_id) WHERE batch_id IS NOT NULL;

-- Payments of files by what a return names. Kept for ever: late returns exist.
CREATE TABLE ach_entries (
    batch_id   BLOB NOT NULL CHECK (length(batch_id) = 16),
    row_no     INTEGER NOT NULL,
    tenant     BLOB NOT NULL CHECK (length(tenant) = 16),
    trace      TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    account    TEXT NOT NULL,
    company_id TEXT NOT NULL,
    PRIMARY KEY (batch_id, row_no)
) STRICT, WITHOUT ROWID;
-- The match of a return.
CREATE INDEX ach_entries_trace ON ach_entries (tenant, trace);
