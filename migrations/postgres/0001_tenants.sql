-- Whose books these are, who may speak for them, and the programs their loans belong to.

CREATE TABLE tenants (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    time_zone     text NOT NULL,
    base_currency text NOT NULL CHECK (base_currency ~ '^[A-Z]{3}$'),
    future_days   integer NOT NULL CHECK (future_days >= 0),
    payment_limit bigint CHECK (payment_limit > 0)
);

CREATE TABLE clients (
    client_id   text PRIMARY KEY,
    tenant      uuid NOT NULL REFERENCES tenants (id),
    secret_hash text NOT NULL,
    scopes      text[] NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    private_key bytea NOT NULL,
    public_key  bytea NOT NULL CHECK (length(public_key) = 65),
    created_at  timestamptz NOT NULL
);

CREATE TABLE programs (
    id     uuid PRIMARY KEY,
    tenant uuid NOT NULL REFERENCES tenants (id),
    name   text NOT NULL
);
