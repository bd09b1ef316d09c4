-- Secrets, sealed by AES-256-GCM under a key-encryption key whose identifier stands before
-- the dot; what a clinic's data keys seal; and the settings that hold for every clinic.

-- What opens the door of a provider: e-mail, messages, payments. Of the system where the clinic is all zeros
-- (and therefore without REFERENCES): it serves the clinics that have none of their own.
CREATE TABLE credentials (
    credential_id BLOB PRIMARY KEY,
    clinic_id     BLOB NOT NULL,
    -- email, whatsapp, sms, push, billing …
    purpose       TEXT NOT NULL,
    -- 0 is tried first
    place         BIGINT NOT NULL,
    provider      TEXT NOT NULL,
    -- what may be shown, as the sender's address
    public        TEXT NOT NULL,
    -- NULL: the provider needs none
    sealed        TEXT,
    changed_at    TEXT NOT NULL,
    UNIQUE (clinic_id, purpose, place)
);

-- The keys that seal a clinic's blobs, sealed themselves; a blob names the one it needs, the latest seals new ones.
CREATE TABLE data_keys (
    data_key_id BLOB PRIMARY KEY,
    clinic_id   BLOB NOT NULL REFERENCES clinics (clinic_id),
    sealed      TEXT NOT NULL,
    created_at  TEXT NOT NULL
);
CREATE INDEX data_keys_by_clinic ON data_keys (clinic_id, data_key_id);

-- One row: what holds where a clinic has set nothing of its own.
CREATE TABLE global_settings (
    place    BIGINT PRIMARY KEY CHECK (place = 1),
    settings TEXT NOT NULL
);
