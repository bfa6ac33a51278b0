-- Entries of files that were seen before in another file, and what a person decided about an exception.

-- Entries marked before have no `individual_id` and are not compared.
ALTER TABLE ach_entries ADD COLUMN individual_id TEXT;
ALTER TABLE ach_entries ADD COLUMN effective_entry_date TEXT;
-- The same entry of another file, as it was found when this one was marked: the verdict stays, whenever it is asked.
ALTER TABLE ach_entries ADD COLUMN first_batch_id BLOB CHECK (length(first_batch_id) = 16);
ALTER TABLE ach_entries ADD COLUMN first_row_no INTEGER
    CHECK (first_row_no > 0 AND (first_batch_id IS NULL) = (first_row_no IS NULL));

-- The upload of `first_row_no`, where it is another one.
ALTER TABLE batch_exceptions ADD COLUMN first_batch_id BLOB CHECK (length(first_batch_id) = 16);
-- The tenant of a file's row, as long as nobody has decided about it. NULL for rows of other uploads.
ALTER TABLE batch_exceptions ADD COLUMN open_for BLOB CHECK (length(open_for) = 16);
ALTER TABLE batch_exceptions ADD COLUMN resolution TEXT
    CHECK (resolution IS NULL OR (resolution IN ('posted', 'discarded') AND open_for IS NULL));
ALTER TABLE batch_exceptions ADD COLUMN resolution_reason TEXT;
ALTER TABLE batch_exceptions ADD COLUMN resolved_by TEXT;
ALTER TABLE batch_exceptions ADD COLUMN resolved_at INTEGER
    CHECK ((resolution IS NULL) = (resolved_at IS NULL) AND (resolution IS NULL) = (resolved_by IS NULL)
        AND (resolution IS NULL) = (resolution_reason IS NULL));
UPDATE batch_exceptions SET open_for = (SELECT f.tenant FROM ach_files AS f WHERE f.batch_id = batch_exceptions.batch_id);
-- The open exceptions of a tenant by reason, oldest file first.
CREATE INDEX batch_exceptions_open ON batch_exceptions (open_for, code, batch_id, row_no) WHERE open_for IS NOT NULL;
-- The events whose row stands at another number since the upload was sent again.
CREATE INDEX batch_exceptions_moved ON batch_exceptions (event_id) WHERE code = 'moved';

-- Of what an upload accepted: what was an exception first, and a person posted. The amount is a sum of 128 bits.
ALTER TABLE batch_accepted ADD COLUMN reviewed INTEGER NOT NULL DEFAULT 0 CHECK (reviewed >= 0);
ALTER TABLE batch_accepted ADD COLUMN reviewed_amount TEXT NOT NULL DEFAULT '0';
