-- What analytics has counted, from the events alone: how much of what, a quarter of an hour, a day and in all; and what it keeps of
-- each record so that a later word on it counts right.

-- One line a set of numbers. Those of the current one are shown; another is being counted anew beside it.
CREATE TABLE analytics_generations (
    generation BIGINT PRIMARY KEY,
    -- the last event that is in its numbers
    position   BIGINT NOT NULL,
    is_current BOOLEAN NOT NULL
);
INSERT INTO analytics_generations (generation, position, is_current) VALUES (1, 0, TRUE);

CREATE TABLE analytics_counts (
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    generation BIGINT NOT NULL,
    metric     TEXT NOT NULL,
    -- how many seconds a bucket is long: 900, 86400, or 0 for all time; 1: the bucket is a day of birth
    grain      BIGINT NOT NULL,
    -- which one, counted from 1970-01-01T00:00:00Z
    bucket     BIGINT NOT NULL,
    -- of what: a modality, a specialty, a currency; empty where there are no kinds
    dimension  TEXT NOT NULL,
    amount     BIGINT NOT NULL,
    PRIMARY KEY (clinic_id, generation, metric, grain, bucket, dimension)
) WITHOUT ROWID;
CREATE INDEX analytics_counts_in_all ON analytics_counts (generation, metric, dimension, amount) WHERE grain = 0;

CREATE TABLE analytics_records (
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    generation BIGINT NOT NULL,
    record_id  BLOB NOT NULL,
    facts      TEXT NOT NULL,
    PRIMARY KEY (clinic_id, generation, record_id)
) WITHOUT ROWID;
