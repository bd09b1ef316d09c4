-- Networks that were added, the states in which each runs, for all clinics and for one, and
-- analyses that nobody is shown. The networks of the box have no row here: their cards are in the program.

CREATE TABLE networks (
    network_id   BLOB PRIMARY KEY,
    name         TEXT NOT NULL,
    version      TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    card         TEXT NOT NULL,
    -- images and what the network must answer to them, as JSON
    reference    TEXT,
    -- absent until the weights have come
    blob_key     TEXT,
    size_bytes   BIGINT,
    added_by     TEXT NOT NULL,
    added_at     TEXT NOT NULL,
    -- when it ran as its card says, and what proved it
    proved_at    TEXT,
    proved_word  TEXT,
    -- why it did not
    refusal_code TEXT,
    refusal      TEXT,
    UNIQUE (name, version)
);

-- The newest row of a network that was not undone counts; nothing is ever removed.
CREATE TABLE network_states (
    change_id  BLOB PRIMARY KEY,
    -- what was changed together is undone together
    change_set BLOB NOT NULL,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- draft, shadow, active or retired
    state      TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    undone_by  TEXT,
    undone_at  TEXT
);
CREATE INDEX network_states_newest ON network_states (name, change_id);

-- The same for one clinic, whose word counts more than that for all.
CREATE TABLE clinic_network_states (
    change_id  BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    change_set BLOB NOT NULL,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    state      TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    undone_by  TEXT,
    undone_at  TEXT
);
CREATE INDEX clinic_network_states_newest ON clinic_network_states (clinic_id, name, change_id);

ALTER TABLE analyses ADD COLUMN is_shadow BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX analyses_by_network ON analyses (clinic_id, network_name, is_shadow, analysis_id);
