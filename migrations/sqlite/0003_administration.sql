-- What operators make, and the uploads and programs that events name.

-- API clients.
CREATE TABLE clients (
    client_id   TEXT PRIMARY KEY,
    tenant      BLOB NOT NULL REFERENCES tenants (id),
    secret_hash TEXT NOT NULL,
    scopes      TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
    disabled_at INTEGER,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys of the built-in token issuer.
CREATE TABLE signing_keys (
    kid         TEXT PRIMARY KEY,
    private_key BLOB NOT NULL,
    public_key  BLOB NOT NULL CHECK (length(public_key) = 65),
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Callers' uploads.
CREATE TABLE payment_batches (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant     BLOB NOT NULL REFERENCES tenants (id),
    status     TEXT NOT NULL,
    row_count  INTEGER NOT NULL CHECK (row_count >= 0),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Defaults for loans.
CREATE TABLE programs (
    tenant     BLOB NOT NULL REFERENCES tenants (id),
    program_id BLOB NOT NULL CHECK (length(program_id) = 16),
    name       TEXT NOT NULL,
    waterfall  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, program_id)
) STRICT, WITHOUT ROWID;
