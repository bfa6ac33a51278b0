-- Programs by their lender's own ids, with their terms. Nothing has written the table before.

DROP TABLE programs;

CREATE TABLE programs (
    tenant   BLOB NOT NULL REFERENCES tenants (id),
    id       BLOB NOT NULL CHECK (length(id) = 16),
    -- JSON of its terms.
    settings TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
