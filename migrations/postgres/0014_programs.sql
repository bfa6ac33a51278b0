-- Programs by their lender's own ids, with their terms. Nothing has written the table before.

DROP TABLE programs;

CREATE TABLE programs (
    tenant   uuid NOT NULL REFERENCES tenants (id),
    id       uuid NOT NULL,
    -- JSON of its terms.
    settings text NOT NULL,
    PRIMARY KEY (tenant, id)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON programs TO hpts_service;
    END IF;
END
$$;
