-- The journal is never changed. Grants do not bind the owner of a table; triggers do.

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the journal is insert-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER events_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- ALWAYS: also where replication roles switch ordinary triggers off.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_insert_only;
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_insert_only;
