-- Many clinics in one Medilink: their places, the people who belong to them with
-- a role in each, the keys of machines, and the DIMSE titles that mean a clinic.

ALTER TABLE clinics ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE clinics ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE clinics ADD COLUMN settings JSONB NOT NULL DEFAULT '{}';

CREATE TABLE locations (
    location_id UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    name        TEXT NOT NULL,
    address     TEXT,
    phone       TEXT,
    is_open     BOOLEAN NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, name)
);

-- A person is one row however many clinics they belong to.
CREATE TABLE users (
    user_id       UUID PRIMARY KEY,
    email         TEXT NOT NULL,
    -- the address as it is compared: trimmed, in lower case
    email_key     TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    -- argon2id in PHC form; NULL until a password is set
    password_hash TEXT,
    -- active or disabled
    state         TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE memberships (
    membership_id UUID PRIMARY KEY,
    clinic_id     UUID NOT NULL REFERENCES clinics (clinic_id),
    user_id       UUID NOT NULL REFERENCES users (user_id),
    role          TEXT NOT NULL,
    specialty     TEXT,
    location_id   UUID REFERENCES locations (location_id),
    -- whose records are «own» to a PATIENT
    patient_id    UUID REFERENCES patients (patient_id),
    created_at    TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE api_keys (
    api_key_id UUID PRIMARY KEY,
    clinic_id  UUID NOT NULL REFERENCES clinics (clinic_id),
    name       TEXT NOT NULL,
    key_sha256 TEXT NOT NULL UNIQUE,
    -- permissions as "resource:action"
    scopes     JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    used_at    TIMESTAMPTZ
);
CREATE INDEX api_keys_by_clinic ON api_keys (clinic_id, api_key_id);

-- An association belongs to the clinic of its called title, else of its calling one, else to the default clinic.
CREATE TABLE ae_titles (
    ae_title   TEXT PRIMARY KEY,
    clinic_id  UUID NOT NULL REFERENCES clinics (clinic_id),
    -- called or calling
    side       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ae_titles_by_clinic ON ae_titles (clinic_id);
