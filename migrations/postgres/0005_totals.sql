-- Totals that postings raise: one upsert per posting transaction, never per payment. A lane writes under its own lane
-- slot, so that lanes do not wait for each other.

CREATE TABLE account_totals (
    tenant       uuid NOT NULL REFERENCES tenants (id),
    account      smallint NOT NULL,
    currency     text NOT NULL,
    layer        text NOT NULL CHECK (layer IN ('SETTLED', 'PENDING', 'ENCUMBRANCE')),
    booking_date date NOT NULL,
    lane_slot    smallint NOT NULL CHECK (lane_slot BETWEEN 0 AND 255),
    debits       numeric NOT NULL CHECK (debits >= 0),
    credits      numeric NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (tenant, account, currency, layer, booking_date, lane_slot)
) WITH (fillfactor = 60);

-- Without a foreign key to payment_batches: an upload's row may be written by another transaction than its events.
CREATE TABLE batch_totals (
    batch_id       uuid NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('posted', 'rejected', 'done')),
    currency       text NOT NULL CHECK (length(currency) = 3),
    lane_slot      smallint NOT NULL CHECK (lane_slot BETWEEN 0 AND 255),
    count          bigint NOT NULL CHECK (count >= 0),
    amount         numeric NOT NULL CHECK (amount >= 0),
    last_posted_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, outcome, currency, lane_slot)
) WITH (fillfactor = 60);

-- The other side of the control totals: what was accepted, raised in the statement that accepts an upload's rows. One
-- writer at a time: an upload has one receiver.
CREATE TABLE batch_accepted (
    batch_id uuid NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    count    bigint NOT NULL CHECK (count >= 0),
    amount   numeric NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (batch_id, currency)
) WITH (fillfactor = 60);
