-- Rows of files that a posting rule refused, and of which a person has said that they are dealt with. Their postings stay
-- what they are: this ends nothing but the looking.
CREATE TABLE ended_rejections (
    event_seq         bigint PRIMARY KEY REFERENCES events (seq),
    resolution        text NOT NULL CHECK (resolution = 'discarded'),
    resolution_reason text NOT NULL,
    resolved_by       text NOT NULL,
    resolved_at       timestamptz NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON ended_rejections TO hpts_service;
    END IF;
END
$$;
