-- What the running processes tell each other.

-- Which partition a slot belongs to, per generation of the topology; the greatest generation is the current one.
CREATE TABLE slots (
    generation integer NOT NULL CHECK (generation > 0),
    slot       smallint NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    partition  smallint NOT NULL CHECK (partition BETWEEN 0 AND 4095),
    PRIMARY KEY (generation, slot)
);

-- The version of the broker's topology that `hpts migrate` made.
CREATE TABLE topology (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  integer NOT NULL
);
INSERT INTO topology (version) VALUES (1);

-- Api processes: that they live, and from where on their messages are not confirmed.
CREATE TABLE publishers (
    publisher        uuid PRIMARY KEY,
    generation       integer NOT NULL,
    unconfirmed_from bigint,
    seen_at          timestamptz NOT NULL
) WITH (fillfactor = 60);

-- What each api process accepted, raised in the intake's own statement. One writer per row: a process has one intake of each sort.
CREATE TABLE publisher_totals (
    publisher uuid NOT NULL,
    tenant    uuid NOT NULL,
    -- Uploads and single payments are taken by two tasks of a process, which must not wait for each other here.
    is_bulk   boolean NOT NULL,
    accepted  bigint NOT NULL CHECK (accepted >= 0),
    amount    numeric NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (publisher, tenant, is_bulk)
) WITH (fillfactor = 60);

CREATE TABLE workers (
    worker          uuid PRIMARY KEY,
    lanes           smallint NOT NULL CHECK (lanes > 0),
    first_lane_slot smallint NOT NULL CHECK (first_lane_slot BETWEEN 0 AND 255),
    seen_at         timestamptz NOT NULL
) WITH (fillfactor = 60);

-- The sweep runs in one place at a time. Below `mark` everything is finished, parked or held; `finished_to` is where
-- the last round got, which later numbers may still undercut.
CREATE TABLE sweeper (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder      uuid,
    leased_to   timestamptz NOT NULL DEFAULT '-infinity',
    mark        bigint NOT NULL DEFAULT 0,
    finished_to bigint NOT NULL DEFAULT 0
);
INSERT INTO sweeper DEFAULT VALUES;
