-- A line says which upload its event is a row of: the cash of an upload and that of its rows is one cash, and either is
-- one line's.

ALTER TABLE bank_statement_lines
    ADD COLUMN matched_upload BLOB
    CHECK (matched_upload IS NULL OR (length(matched_upload) = 16 AND matched_event IS NOT NULL));

UPDATE bank_statement_lines SET matched_upload = (SELECT e.batch_id FROM events AS e WHERE e.id = matched_event)
    WHERE matched_event IS NOT NULL;

-- Whether a row of an upload is a line's, when a line names the upload.
CREATE INDEX bank_statement_lines_upload ON bank_statement_lines (matched_upload) WHERE matched_upload IS NOT NULL;
