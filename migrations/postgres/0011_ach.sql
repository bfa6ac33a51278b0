-- ACH: the feeds that files come through, the files with their bytes, and what returns are matched by.

CREATE TABLE ach_feeds (
    tenant   uuid NOT NULL REFERENCES tenants (id),
    name     text NOT NULL,
    -- JSON of its settings.
    settings text NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Every file that came, also one that was refused: a return inside it must not be lost.
CREATE TABLE ach_files (
    tenant      uuid NOT NULL REFERENCES tenants (id),
    sha256      bytea NOT NULL CHECK (length(sha256) = 32),
    feed        text NOT NULL,
    -- What its header says it is; NULL where it was refused or has no header.
    identity    text,
    received_at timestamptz NOT NULL,
    batch_id    uuid REFERENCES payment_batches (id),
    -- JSON of what was found in it.
    summary     text,
    bytes       bytea NOT NULL,
    PRIMARY KEY (tenant, sha256)
);
-- Two files with one identity are a conflict.
CREATE UNIQUE INDEX ach_files_identity ON ach_files (tenant, identity) WHERE identity IS NOT NULL;
-- The file of an upload.
CREATE UNIQUE INDEX ach_files_batch ON ach_files (batch_id) WHERE batch_id IS NOT NULL;

-- Payments of files by what a return names. Kept for ever: late returns exist.
CREATE TABLE ach_entries (
    batch_id   uuid NOT NULL,
    row_no     bigint NOT NULL,
    amount     bigint NOT NULL,
    tenant     uuid NOT NULL,
    trace      text NOT NULL,
    account    text NOT NULL,
    company_id text NOT NULL,
    PRIMARY KEY (batch_id, row_no)
);
-- The match of a return.
CREATE INDEX ach_entries_trace ON ach_entries (tenant, trace);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON ach_feeds, ach_files, ach_entries TO hpts_service;
        GRANT UPDATE ON ach_files TO hpts_service;
    END IF;
END
$$;
