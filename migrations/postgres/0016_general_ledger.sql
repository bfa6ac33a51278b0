-- The general ledger of a tenant: which months take no more bookings, and how its chart of accounts is shown.

ALTER TABLE tenants ADD COLUMN closed_periods text NOT NULL DEFAULT 'next_open_day'
    CHECK (closed_periods IN ('next_open_day', 'refuse'));

-- The last change of each month that was ever closed; a month without a row is open. Written under the exclusive lock
-- that every posting transaction holds shared, so that none of them books into a month that is closed meanwhile.
CREATE TABLE periods (
    tenant     uuid NOT NULL REFERENCES tenants (id),
    -- The first day of the month.
    month      date NOT NULL CHECK (extract(day FROM month) = 1),
    status     text NOT NULL CHECK (status IN ('open', 'closed')),
    reason     text NOT NULL,
    actor      text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, month)
);

-- Raised with every change above: a posting transaction reads this one number, and the months only when it has changed.
CREATE TABLE calendar_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO calendar_version (version) VALUES (1);

-- How a tenant shows the accounts of the books, and accounts that it has added (8000 to 8999 in the books). An account
-- without a row is shown as it is.
CREATE TABLE tenant_accounts (
    tenant         uuid NOT NULL REFERENCES tenants (id),
    -- As the books know it.
    account        smallint NOT NULL CHECK (account BETWEEN 0 AND 9999),
    -- As the tenant knows it.
    code           smallint NOT NULL CHECK (code BETWEEN 0 AND 9999),
    name           text NOT NULL CHECK (name <> ''),
    normal_balance text NOT NULL CHECK (normal_balance IN ('DR', 'CR')),
    PRIMARY KEY (tenant, account),
    CONSTRAINT tenant_accounts_code UNIQUE (tenant, code)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT, UPDATE ON periods TO hpts_service;
        GRANT SELECT, UPDATE ON calendar_version TO hpts_service;
        GRANT SELECT, INSERT, DELETE ON tenant_accounts TO hpts_service;
    END IF;
END
$$;
