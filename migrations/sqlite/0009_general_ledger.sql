-- The general ledger of a tenant: which months take no more bookings, and how its chart of accounts is shown.

ALTER TABLE tenants ADD COLUMN closed_periods TEXT NOT NULL DEFAULT 'next_open_day'
    CHECK (closed_periods IN ('next_open_day', 'refuse'));

-- The last change of each month that was ever closed; a month without a row is open.
CREATE TABLE periods (
    tenant     BLOB NOT NULL REFERENCES tenants (id),
    -- The first day of the month.
    month      TEXT NOT NULL CHECK (length(month) = 10 AND month LIKE '%-01'),
    status     TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    reason     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, month)
) STRICT, WITHOUT ROWID;

-- Raised with every change above: a posting transaction reads this one number, and the months only when it has changed.
CREATE TABLE calendar_version (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version  INTEGER NOT NULL
) STRICT;

INSERT INTO calendar_version (only_row, version) VALUES (1, 1);

-- How a tenant shows the accounts of the books, and accounts that it has added (8000 to 8999 in the books). An account
-- without a row is shown as it is.
CREATE TABLE tenant_accounts (
    tenant         BLOB NOT NULL REFERENCES tenants (id),
    -- As the books know it.
    account        INTEGER NOT NULL CHECK (account BETWEEN 0 AND 9999),
    -- As the tenant knows it.
    code           INTEGER NOT NULL CHECK (code BETWEEN 0 AND 9999),
    name           TEXT NOT NULL CHECK (name <> ''),
    normal_balance TEXT NOT NULL CHECK (normal_balance IN ('DR', 'CR')),
    PRIMARY KEY (tenant, account),
    CONSTRAINT tenant_accounts_code UNIQUE (tenant, code)
) STRICT, WITHOUT ROWID;
