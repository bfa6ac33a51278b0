-- Rows of files that a posting rule refused, and of which a person has said that they are dealt with. Their postings stay
-- what they are: this ends nothing but the looking. By file, which has as many open ones as its totals count more.
CREATE TABLE ended_rejections (
    batch_id          BLOB NOT NULL REFERENCES payment_batches (id),
    event_seq         INTEGER NOT NULL REFERENCES events (seq),
    resolution        TEXT NOT NULL CHECK (resolution = 'discarded'),
    resolution_reason TEXT NOT NULL,
    resolved_by       TEXT NOT NULL,
    resolved_at       INTEGER NOT NULL,
    PRIMARY KEY (batch_id, event_seq)
) STRICT, WITHOUT ROWID;
