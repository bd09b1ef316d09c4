-- The event hub: a position for every event, who has heard how much, and the
-- webhooks of the clinics. A position is given after the commit, by one relay at a
-- time, so that no reader passes by an event whose transaction commits late.

ALTER TABLE events ADD COLUMN told_order BIGINT GENERATED ALWAYS AS IDENTITY;
ALTER TABLE events ADD COLUMN position BIGINT;
ALTER TABLE events DROP CONSTRAINT events_pkey;
-- by it a clinic's events are listed, the latest first
ALTER TABLE events ADD PRIMARY KEY (clinic_id, event_id);
-- those that were told before have the order of their time, as on SQLite
UPDATE events SET position = numbered.number
  FROM (SELECT event_id, row_number() OVER (ORDER BY told_at, event_id) AS number FROM events) AS numbered
 WHERE events.event_id = numbered.event_id;
CREATE INDEX events_without_position ON events (told_order) WHERE position IS NULL;
CREATE UNIQUE INDEX events_by_position ON events (position) WHERE position IS NOT NULL;

-- One row: the last position that was given; whoever holds the row is the relay.
CREATE TABLE event_relay (
    place    BIGINT PRIMARY KEY CHECK (place = 1),
    position BIGINT NOT NULL
);
INSERT INTO event_relay (place, position) SELECT 1, count(*) FROM events;

-- How much each listener has heard, and which process lets it hear.
CREATE TABLE event_listeners (
    name       TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    held_by    UUID,
    held_until TIMESTAMPTZ
);

-- Where a clinic wants its events sent.
CREATE TABLE webhooks (
    webhook_id      UUID PRIMARY KEY,
    clinic_id       UUID NOT NULL REFERENCES clinics (clinic_id),
    url             TEXT NOT NULL,
    description     TEXT NOT NULL,
    -- the names of the events; empty: every one
    events          JSONB NOT NULL,
    -- sealed; the one before signs too for a while
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  TIMESTAMPTZ,
    -- active or disabled
    state           TEXT NOT NULL,
    disabled_reason TEXT,
    -- since when nothing has arrived
    failing_since   TIMESTAMPTZ,
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhooks_by_clinic ON webhooks (clinic_id, webhook_id);

-- One event on its way to one webhook.
CREATE TABLE webhook_deliveries (
    delivery_id  UUID PRIMARY KEY,
    clinic_id    UUID NOT NULL REFERENCES clinics (clinic_id),
    webhook_id   UUID NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    event_id     UUID NOT NULL,
    event_name   TEXT NOT NULL,
    -- events of one record go in the order of their positions
    aggregate    TEXT NOT NULL,
    position     BIGINT NOT NULL,
    -- waiting, delivered or dead
    state        TEXT NOT NULL,
    tries        BIGINT NOT NULL,
    -- waiting: not before
    next_at      TIMESTAMPTZ NOT NULL,
    -- what the receiver answered the last time
    status       BIGINT,
    last_error   TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    delivered_at TIMESTAMPTZ,
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
