-- The least that a payment writes: an event with a key of sixteen bytes, a posting with its lines, a loan. No tenants, no
-- checks, no chain, no totals. See docs/benchmarks.md, "What the machine makes of the least".
CREATE TABLE loans (id bigint PRIMARY KEY, principal bigint NOT NULL, version bigint NOT NULL) WITH (fillfactor = 60);
INSERT INTO loans SELECT n, 1000000000, 0 FROM generate_series(0, 99999) AS n;
CREATE SEQUENCE place;
CREATE TABLE events (seq bigint PRIMARY KEY, key uuid NOT NULL UNIQUE, loan bigint NOT NULL, amount bigint NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE postings (seq bigint PRIMARY KEY, loan bigint NOT NULL, version bigint NOT NULL,
    accounts smallint[] NOT NULL, amounts bigint[] NOT NULL, posted_at timestamptz NOT NULL DEFAULT now());
VACUUM ANALYZE;
