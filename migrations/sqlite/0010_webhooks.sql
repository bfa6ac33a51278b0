-- Webhooks: the endpoints that callers name, and the deliveries to them that failed at least once.

CREATE TABLE webhook_endpoints (
    id              BLOB PRIMARY KEY CHECK (length(id) = 16),
    tenant          BLOB NOT NULL REFERENCES tenants (id),
    created_at      INTEGER NOT NULL,
    url             TEXT NOT NULL,
    description     TEXT,
    event_types     TEXT NOT NULL CHECK (json_array_length(event_types) > 0),
    -- Sealed where a key file is configured, as signing keys are.
    secret          BLOB NOT NULL,
    -- Signs beside the other until then.
    previous_secret BLOB,
    previous_until  INTEGER,
    disabled_at     INTEGER,
    disabled_reason TEXT CHECK (disabled_reason IN ('requested', 'gone', 'failing')),
    -- Its place in the change feed: everything up to here was delivered, or is a row of webhook_deliveries.
    epoch           INTEGER NOT NULL,
    xact            INTEGER NOT NULL,
    taken           INTEGER NOT NULL,
    -- One worker at a time has the turn at it; a turn that ran out may be taken.
    holder          BLOB CHECK (length(holder) = 16),
    leased_to       INTEGER NOT NULL DEFAULT 0,
    -- Nothing is sent before.
    paused_to       INTEGER NOT NULL DEFAULT 0,
    -- How often in a row it took nothing of what was sent at once.
    failures        INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   INTEGER,
    delivered_at    INTEGER,
    CONSTRAINT webhook_endpoints_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_previous CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) STRICT, WITHOUT ROWID;
-- An address is told once; a tenant's endpoints.
CREATE UNIQUE INDEX webhook_endpoints_url ON webhook_endpoints (tenant, url);

-- A row exists from the first failure on, or because a ping was asked for. Settled once `next_attempt_at` is NULL:
-- delivered, or given up.
CREATE TABLE webhook_deliveries (
    endpoint_id     BLOB NOT NULL REFERENCES webhook_endpoints (id),
    event_id        BLOB NOT NULL CHECK (length(event_id) = 16),
    event_type      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER,
    last_attempt_at INTEGER,
    delivered_at    INTEGER,
    -- What the receiver answered last, and why that was no success.
    status          INTEGER,
    error           TEXT,
    duration_ms     INTEGER,
    PRIMARY KEY (endpoint_id, event_id, event_type)
) STRICT, WITHOUT ROWID;
-- What is due at an endpoint, and how much waits there.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
-- The newest of an endpoint.
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (endpoint_id, created_at);
