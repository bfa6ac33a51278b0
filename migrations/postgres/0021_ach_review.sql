-- Entries of files that were seen before in another file, and what a person decided about an exception.

-- Entries marked before have no `individual_id` and are not compared.
ALTER TABLE ach_entries
    ADD COLUMN individual_id        text,
    ADD COLUMN effective_entry_date date,
    -- The same entry of another file, as it was found when this one was marked: the verdict stays, whenever it is asked.
    ADD COLUMN first_batch_id       uuid,
    ADD COLUMN first_row_no         bigint CHECK (first_row_no > 0),
    ADD CONSTRAINT ach_entries_first CHECK ((first_batch_id IS NULL) = (first_row_no IS NULL));

ALTER TABLE batch_exceptions
    -- The upload of `first_row_no`, where it is another one.
    ADD COLUMN first_batch_id    uuid,
    -- The tenant of a file's row, as long as nobody has decided about it. NULL for rows of other uploads.
    ADD COLUMN open_for          uuid,
    ADD COLUMN resolution        text CHECK (resolution IN ('posted', 'discarded')),
    ADD COLUMN resolution_reason text,
    ADD COLUMN resolved_by       text,
    ADD COLUMN resolved_at       timestamptz,
    ADD CONSTRAINT batch_exceptions_resolved CHECK (num_nulls(resolution, resolution_reason, resolved_by, resolved_at)
        IN (0, 4)),
    ADD CONSTRAINT batch_exceptions_open_or_resolved CHECK (open_for IS NULL OR resolution IS NULL);
UPDATE batch_exceptions x SET open_for = f.tenant FROM ach_files f WHERE f.batch_id = x.batch_id;
-- The open exceptions of a tenant by reason, oldest file first.
CREATE INDEX batch_exceptions_open ON batch_exceptions (open_for, code, batch_id, row_no) WHERE open_for IS NOT NULL;
-- The events whose row stands at another number since the upload was sent again.
CREATE INDEX batch_exceptions_moved ON batch_exceptions (event_id) WHERE code = 'moved';

-- Of what an upload accepted: what was an exception first, and a person posted.
ALTER TABLE batch_accepted
    ADD COLUMN reviewed        bigint NOT NULL DEFAULT 0 CHECK (reviewed >= 0),
    ADD COLUMN reviewed_amount numeric NOT NULL DEFAULT 0 CHECK (reviewed_amount >= 0);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT UPDATE ON ach_entries, batch_exceptions TO hpts_service;
    END IF;
END
$$;
