-- The event hub: a position for every event, who has heard how much, and the
-- webhooks of the clinics. SQLite has one writer, so that the position given at the
-- INSERT grows as transactions commit; AUTOINCREMENT never gives one twice.

CREATE TABLE events_with_position (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id  BLOB NOT NULL,
    clinic_id BLOB NOT NULL REFERENCES clinics (clinic_id),
    name      TEXT NOT NULL,
    body      TEXT NOT NULL,
    told_at   TEXT NOT NULL
);
INSERT INTO events_with_position (event_id, clinic_id, name, body, told_at)
SELECT event_id, clinic_id, name, body, told_at FROM events ORDER BY told_at, event_id;
DROP TABLE events;
ALTER TABLE events_with_position RENAME TO events;
-- by it a clinic's events are listed, the latest first
CREATE UNIQUE INDEX events_by_clinic ON events (clinic_id, event_id);

-- How much each listener has heard, and which process lets it hear.
CREATE TABLE event_listeners (
    name       TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    held_by    BLOB,
    held_until TEXT
);

-- Where a clinic wants its events sent.
CREATE TABLE webhooks (
    webhook_id      BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    url             TEXT NOT NULL,
    description     TEXT NOT NULL,
    -- the names of the events; empty: every one
    events          TEXT NOT NULL,
    -- sealed; the one before signs too for a while
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  TEXT,
    -- active or disabled
    state           TEXT NOT NULL,
    disabled_reason TEXT,
    -- since when nothing has arrived
    failing_since   TEXT,
    created_at      TEXT NOT NULL
);
CREATE INDEX webhooks_by_clinic ON webhooks (clinic_id, webhook_id);

-- One event on its way to one webhook.
CREATE TABLE webhook_deliveries (
    delivery_id  BLOB PRIMARY KEY,
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    webhook_id   BLOB NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    event_id     BLOB NOT NULL,
    event_name   TEXT NOT NULL,
    -- events of one record go in the order of their positions
    aggregate    TEXT NOT NULL,
    position     BIGINT NOT NULL,
    -- waiting, delivered or dead
    state        TEXT NOT NULL,
    tries        BIGINT NOT NULL,
    -- waiting: not before
    next_at      TEXT NOT NULL,
    -- what the receiver answered the last time
    status       BIGINT,
    last_error   TEXT,
    created_at   TEXT NOT NULL,
    delivered_at TEXT,
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, aggregate, position)
 WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, delivery_id);

-- Each queue claims its own kinds, and the same job never runs twice at once.
CREATE INDEX jobs_by_kind ON jobs (kind, state, run_at);
CREATE INDEX jobs_running ON jobs (clinic_id, kind, job_key) WHERE state = 'running';
-- A clinic's dead jobs are listed, the latest first.
CREATE INDEX jobs_dead ON jobs (clinic_id, job_id) WHERE state = 'dead';
