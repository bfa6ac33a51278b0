-- 1000 payments on as many loans, in two transactions: accepted, then posted. For pgbench; the rows are made in the server.
\set first random(0, 99999)
BEGIN;
INSERT INTO events (seq, key, loan, amount) SELECT nextval('place'), gen_random_uuid(), (:first + n * 7919) % 100000, 100
    FROM generate_series(0, 999) AS n;
COMMIT;
BEGIN;
WITH locked AS (SELECT id FROM loans WHERE id IN (SELECT (:first + n * 7919) % 100000 FROM generate_series(0, 999) AS n)
        ORDER BY id FOR UPDATE),
    moved AS (UPDATE loans SET principal = principal - 100, version = version + 1 FROM locked
        WHERE loans.id = locked.id RETURNING loans.id, loans.version)
INSERT INTO postings (seq, loan, version, accounts, amounts)
    SELECT nextval('place'), id, version, '{1010,1100}', '{100,-100}' FROM moved;
COMMIT;
