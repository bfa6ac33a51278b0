-- Rows of files that a posting rule refused, and of which a person has said that they are dealt with. Their postings stay
-- what they are: this ends nothing but the looking.
CREATE TABLE ended_rejections (
    event_seq         INTEGER PRIMARY KEY REFERENCES events (seq),
    resolution        TEXT NOT NULL CHECK (resolution = 'discarded'),
    resolution_reason TEXT NOT NULL,
    resolved_by       TEXT NOT NULL,
    resolved_at       INTEGER NOT NULL
) STRICT;
