-- Webhooks: the endpoints that callers name, and the deliveries to them that failed at least once.

CREATE TABLE webhook_endpoints (
    id              uuid PRIMARY KEY,
    tenant          uuid NOT NULL REFERENCES tenants (id),
    created_at      timestamptz NOT NULL,
    url             text NOT NULL,
    description     text,
    event_types     text[] NOT NULL CHECK (cardinality(event_types) > 0),
    -- Sealed where a key file is configured, as signing keys are.
    secret          bytea NOT NULL,
    -- Signs beside the other until then.
    previous_secret bytea,
    previous_until  timestamptz,
    disabled_at     timestamptz,
    disabled_reason text CHECK (disabled_reason IN ('requested', 'gone', 'failing')),
    -- Its place in the change feed: everything up to here was delivered, or is a row of webhook_deliveries.
    epoch           integer NOT NULL,
    xact            bigint NOT NULL,
    taken           integer NOT NULL,
    -- One worker at a time has the turn at it; a turn that ran out may be taken.
    holder          uuid,
    leased_to       timestamptz NOT NULL DEFAULT '-infinity',
    -- Nothing is sent before.
    paused_to       timestamptz NOT NULL DEFAULT '-infinity',
    -- How often in a row it took nothing of what was sent at once.
    failures        integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   timestamptz,
    delivered_at    timestamptz,
    CONSTRAINT webhook_endpoints_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_previous CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) WITH (fillfactor = 60);
-- An address is told once; a tenant's endpoints.
CREATE UNIQUE INDEX webhook_endpoints_url ON webhook_endpoints (tenant, url);

-- A row exists from the first failure on, or because a ping was asked for. Settled once `next_attempt_at` is NULL:
-- delivered, or given up.
CREATE TABLE webhook_deliveries (
    endpoint_id     uuid NOT NULL REFERENCES webhook_endpoints (id),
    event_id        uuid NOT NULL,
    event_type      text NOT NULL,
    created_at      timestamptz NOT NULL,
    attempts        integer NOT NULL CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    last_attempt_at timestamptz,
    delivered_at    timestamptz,
    -- What the receiver answered last, and why that was no success.
    status          integer,
    error           text,
    duration_ms     bigint,
    PRIMARY KEY (endpoint_id, event_id, event_type)
) WITH (fillfactor = 60);
-- What is due at an endpoint, and how much waits there.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
-- The newest of an endpoint.
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (endpoint_id, created_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT, UPDATE ON webhook_endpoints TO hpts_service;
        GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO hpts_service;
    END IF;
END
$$;
