-- Rows of files that a posting rule refused, and of which a person has said that they are dealt with. Their postings stay
-- what they are: this ends nothing but the looking. By file, which has as many open ones as its totals count more.
CREATE TABLE ended_rejections (
    batch_id          uuid NOT NULL REFERENCES payment_batches (id),
    event_seq         bigint NOT NULL REFERENCES events (seq),
    resolution        text NOT NULL CHECK (resolution = 'discarded'),
    resolution_reason text NOT NULL,
    resolved_by       text NOT NULL,
    resolved_at       timestamptz NOT NULL,
    PRIMARY KEY (batch_id, event_seq)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON ended_rejections TO hpts_service;
    END IF;
END
$$;
