-- What operators make, and the uploads and programs that events name.

-- API clients.
CREATE TABLE clients (
    client_id   TEXT PRIMARY KEY,
    tenant      BLOB NOT NULL REFERENCES tenants (id),
    secret_hash TEXT NOT NULL,
    scopes      TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

-- Keys of the built-in token issuer.
CREATE TABLE signing_keys (
    kid         TEXT PRIMARY KEY,
    private_key BLOB NOT NULL,
    public_key  BLOB NOT NULL CHECK (length(public_key) = 65),
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Callers' uploads. One request at a time receives an upload: the holder of its lease. A lease that ran out may be
-- taken, and the upload goes on.
CREATE TABLE payment_batches (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant       BLOB NOT NULL REFERENCES tenants (id),
    event_seq    INTEGER NOT NULL REFERENCES events (seq),
    created_at   INTEGER NOT NULL,
    completed_at INTEGER,
    holder       BLOB CHECK (length(holder) = 16),
    leased_to    INTEGER NOT NULL DEFAULT 0,
    -- Over the fingerprints of all rows; known at the end.
    fingerprint  BLOB CHECK (length(fingerprint) = 32),
    received     INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0),
    duplicates   INTEGER NOT NULL DEFAULT 0 CHECK (duplicates >= 0),
    mismatched   INTEGER NOT NULL DEFAULT 0 CHECK (mismatched >= 0),
    invalid      INTEGER NOT NULL DEFAULT 0 CHECK (invalid >= 0),
    CONSTRAINT payment_batches_complete CHECK ((completed_at IS NULL) = (fingerprint IS NULL))
) STRICT, WITHOUT ROWID;

-- Rows of an upload that made no event of it.
CREATE TABLE batch_exceptions (
    batch_id        BLOB NOT NULL REFERENCES payment_batches (id),
    row_no          INTEGER NOT NULL CHECK (row_no > 0),
    code            TEXT NOT NULL,
    idempotency_key TEXT,
    -- The payment that has the row's key.
    event_id        BLOB CHECK (length(event_id) = 16),
    -- The row of this upload that has it.
    first_row_no    INTEGER CHECK (first_row_no > 0),
    amount          INTEGER CHECK (amount >= 0),
    currency        TEXT,
    -- JSON of the failing fields.
    errors          TEXT,
    PRIMARY KEY (batch_id, row_no)
) STRICT, WITHOUT ROWID;

-- Programs that loans belong to.
CREATE TABLE programs (
    id     BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant BLOB NOT NULL REFERENCES tenants (id),
    name   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
