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

-- Callers' uploads.
CREATE TABLE payment_batches (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant     BLOB NOT NULL REFERENCES tenants (id),
    event_seq  INTEGER REFERENCES events (seq),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Programs that loans belong to.
CREATE TABLE programs (
    id     BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant BLOB NOT NULL REFERENCES tenants (id),
    name   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
