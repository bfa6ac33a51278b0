-- A line says which upload its event is a row of: the cash of an upload and that of its rows is one cash, and either is
-- one line's.

ALTER TABLE bank_statement_lines
    ADD COLUMN matched_upload uuid
    CONSTRAINT bank_statement_lines_row CHECK (matched_upload IS NULL OR matched_event IS NOT NULL);

UPDATE bank_statement_lines l SET matched_upload = e.batch_id FROM events e
    WHERE e.id = l.matched_event AND e.batch_id IS NOT NULL;

-- Whether a row of an upload is a line's, when a line names the upload.
CREATE INDEX bank_statement_lines_upload ON bank_statement_lines (matched_upload) WHERE matched_upload IS NOT NULL;
