-- Word to people: what they are told while they are connected and find when they come back; how each wants to be told, where; and
-- what became of it on every channel.

-- One message, however many it is for. A position is given after the commit, by one relay at a time, as with events: who reads
-- on from a position never passes a message by.
CREATE TABLE live_messages (
    message_id  UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    told_order  BIGINT GENERATED ALWAYS AS IDENTITY,
    position    BIGINT,
    -- the type of the message, as `notification`
    kind        TEXT NOT NULL,
    body        JSONB NOT NULL,
    -- those whom it was written for, 16 bytes each; of a fleeting one the only place that says it
    people      BYTEA NOT NULL,
    -- whether all of the clinic's staff who are connected hear it
    is_to_staff BOOLEAN NOT NULL,
    -- whether it is for now alone: nobody finds it later
    is_fleeting BOOLEAN NOT NULL,
    told_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX live_messages_without_position ON live_messages (told_order) WHERE position IS NULL;
CREATE UNIQUE INDEX live_messages_by_position ON live_messages (position) WHERE position IS NOT NULL;

-- One row: the last position that was given; whoever holds the row is the relay.
CREATE TABLE live_relay (
    place    BIGINT PRIMARY KEY CHECK (place = 1),
    position BIGINT NOT NULL
);
INSERT INTO live_relay (place, position) VALUES (1, 0);
CREATE INDEX live_messages_fleeting ON live_messages (told_at) WHERE is_fleeting;

-- A message in a person's hands.
CREATE TABLE live_recipients (
    clinic_id  UUID NOT NULL REFERENCES clinics (clinic_id),
    user_id    UUID NOT NULL REFERENCES users (user_id),
    message_id UUID NOT NULL,
    -- whether it stands in the list of notifications
    is_listed  BOOLEAN NOT NULL,
    read_at    TIMESTAMPTZ,
    -- what makes a second message to the person the same
    dedupe_key TEXT,
    PRIMARY KEY (clinic_id, user_id, message_id)
);
CREATE INDEX live_recipients_unread ON live_recipients (clinic_id, user_id, message_id)
 WHERE read_at IS NULL AND is_listed;
CREATE UNIQUE INDEX live_recipients_once ON live_recipients (clinic_id, user_id, dedupe_key)
 WHERE dedupe_key IS NOT NULL;
CREATE INDEX live_recipients_of_message ON live_recipients (message_id, user_id);

-- Which processes hold connections, and who is connected where.
CREATE TABLE live_processes (
    process_id UUID PRIMARY KEY,
    seen_at    TIMESTAMPTZ NOT NULL
);
CREATE TABLE live_presence (
    process_id UUID NOT NULL REFERENCES live_processes (process_id) ON DELETE CASCADE,
    user_id    UUID NOT NULL,
    PRIMARY KEY (process_id, user_id)
);
CREATE INDEX live_presence_of_person ON live_presence (user_id);

-- How a person wants to be told.
CREATE TABLE notification_preferences (
    user_id    UUID PRIMARY KEY REFERENCES users (user_id),
    body       JSONB NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

-- What a clinic allows to be told where others may read it.
CREATE TABLE notification_settings (
    clinic_id     UUID PRIMARY KEY REFERENCES clinics (clinic_id),
    shows_details BOOLEAN NOT NULL,
    locale        TEXT NOT NULL,
    changed_at    TIMESTAMPTZ NOT NULL
);

-- A clinic's own words in place of the program's.
CREATE TABLE notification_templates (
    template_id UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    name        TEXT NOT NULL,
    locale      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    text        TEXT NOT NULL,
    html        TEXT,
    changed_at  TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, name, locale)
);

-- A device or a browser of a person; where it is reached lies sealed.
CREATE TABLE push_targets (
    target_id  UUID PRIMARY KEY,
    clinic_id  UUID NOT NULL REFERENCES clinics (clinic_id),
    user_id    UUID NOT NULL REFERENCES users (user_id),
    -- fcm, sns or web_push
    kind       TEXT NOT NULL,
    platform   TEXT NOT NULL,
    device     TEXT,
    digest     TEXT NOT NULL,
    sealed     TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, digest)
);
CREATE INDEX push_targets_by_digest ON push_targets (digest);
CREATE INDEX push_targets_of_person ON push_targets (clinic_id, user_id, target_id);

-- Addresses to which nothing is sent any more.
CREATE TABLE notification_suppressions (
    suppression_id UUID PRIMARY KEY,
    clinic_id      UUID NOT NULL REFERENCES clinics (clinic_id),
    channel        TEXT NOT NULL,
    digest         TEXT NOT NULL,
    -- enough of the address to know it again
    shown          TEXT NOT NULL,
    -- bounce, complaint, unsubscribed or manual
    reason         TEXT NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, channel, digest)
);
CREATE INDEX notification_suppressions_newest ON notification_suppressions (clinic_id, suppression_id);

-- A message on its way to one person by one channel.
CREATE TABLE notification_deliveries (
    delivery_id  UUID PRIMARY KEY,
    clinic_id    UUID NOT NULL REFERENCES clinics (clinic_id),
    message_id   UUID NOT NULL,
    user_id      UUID NOT NULL,
    channel      TEXT NOT NULL,
    -- the device or browser, where the channel has several
    target_id    UUID,
    -- waiting, digest, sent, delivered, suppressed or failed
    state        TEXT NOT NULL,
    tries        BIGINT NOT NULL,
    -- waiting or digest: not before
    next_at      TIMESTAMPTZ NOT NULL,
    provider     TEXT,
    -- how the provider calls it
    reference    TEXT,
    last_error   TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    sent_at      TIMESTAMPTZ,
    settled_at   TIMESTAMPTZ
);
CREATE INDEX notification_deliveries_newest ON notification_deliveries (clinic_id, delivery_id);
CREATE INDEX notification_deliveries_of_message ON notification_deliveries (message_id, delivery_id);
CREATE INDEX notification_deliveries_by_time ON notification_deliveries (clinic_id, created_at);
CREATE INDEX notification_deliveries_digest ON notification_deliveries (clinic_id, user_id, channel, delivery_id)
 WHERE state = 'digest';
CREATE INDEX notification_deliveries_by_reference ON notification_deliveries (reference) WHERE reference IS NOT NULL;

SELECT keep_clinics_apart();
