-- The ground floor: a clinic's patients, their studies down to the instance, what
-- the networks saw, and the work and events that follow. DA and TM values stay
-- DICOM text, which sorts as dates and times do.

-- One row: which database this is, so that an archive is swept by its own alone.
CREATE TABLE installation (
    place           BIGINT PRIMARY KEY CHECK (place = 1),
    installation_id UUID NOT NULL
);

CREATE TABLE clinics (
    clinic_id  UUID PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

INSERT INTO clinics (clinic_id, name, created_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'Default clinic', '2026-01-01T00:00:00+00:00');

CREATE TABLE patients (
    patient_id  UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    -- issuer and Patient ID; of a study without Patient ID, the study's UID
    patient_key TEXT NOT NULL,
    mrn         TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    birth_date  TEXT,
    sex         TEXT,
    created_at  TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, patient_key)
);
CREATE INDEX patients_by_mrn ON patients (clinic_id, mrn);
CREATE INDEX patients_by_name ON patients (clinic_id, name_key);

CREATE TABLE studies (
    study_id            UUID PRIMARY KEY,
    clinic_id           UUID NOT NULL REFERENCES clinics (clinic_id),
    patient_id          UUID NOT NULL REFERENCES patients (patient_id),
    study_uid           TEXT NOT NULL,
    study_date          TEXT,
    study_time          TEXT,
    accession_number    TEXT,
    study_number        TEXT,
    description         TEXT,
    referring_physician TEXT,
    referring_key       TEXT,
    stored_at           TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, study_uid)
);
CREATE INDEX studies_by_patient ON studies (clinic_id, patient_id);
CREATE INDEX studies_by_date ON studies (clinic_id, study_date);
CREATE INDEX studies_by_accession ON studies (clinic_id, accession_number);

CREATE TABLE series (
    series_id     UUID PRIMARY KEY,
    clinic_id     UUID NOT NULL REFERENCES clinics (clinic_id),
    study_id      UUID NOT NULL REFERENCES studies (study_id),
    series_uid    TEXT NOT NULL,
    modality      TEXT,
    series_number BIGINT,
    description   TEXT,
    body_part     TEXT,
    started_date  TEXT,
    started_time  TEXT,
    stored_at     TIMESTAMPTZ NOT NULL,
    UNIQUE (study_id, series_uid)
);
CREATE INDEX series_by_modality ON series (clinic_id, modality);

CREATE TABLE instances (
    instance_id         UUID PRIMARY KEY,
    clinic_id           UUID NOT NULL REFERENCES clinics (clinic_id),
    study_id            UUID NOT NULL REFERENCES studies (study_id),
    series_id           UUID NOT NULL REFERENCES series (series_id),
    sop_uid             TEXT NOT NULL,
    sop_class_uid       TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    instance_number     BIGINT,
    image_rows          BIGINT,
    image_columns       BIGINT,
    bits_allocated      BIGINT,
    frame_count         BIGINT,
    -- where uncompressed Pixel Data lie in the blob, so that a frame is one ranged read
    pixel_offset        BIGINT,
    pixel_length        BIGINT,
    sha256              TEXT NOT NULL,
    size_bytes          BIGINT NOT NULL,
    blob_key            TEXT NOT NULL,
    file_name           TEXT,
    origin              TEXT NOT NULL,
    stored_at           TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, sop_uid)
);
CREATE INDEX instances_by_series ON instances (series_id);
CREATE INDEX instances_by_study ON instances (study_id);
CREATE INDEX instances_by_blob ON instances (blob_key);

-- Other bytes that came under a stored SOP Instance UID: kept aside, or superseded by a newcomer.
CREATE TABLE instance_versions (
    version_id          UUID PRIMARY KEY,
    clinic_id           UUID NOT NULL REFERENCES clinics (clinic_id),
    instance_id         UUID NOT NULL REFERENCES instances (instance_id),
    state               TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    sha256              TEXT NOT NULL,
    size_bytes          BIGINT NOT NULL,
    blob_key            TEXT NOT NULL,
    received_at         TIMESTAMPTZ NOT NULL,
    UNIQUE (instance_id, sha256)
);
CREATE INDEX versions_by_blob ON instance_versions (blob_key);

-- One network over one instance's bytes: run twice, it is the same row.
CREATE TABLE analyses (
    analysis_id       UUID PRIMARY KEY,
    clinic_id         UUID NOT NULL REFERENCES clinics (clinic_id),
    study_id          UUID NOT NULL REFERENCES studies (study_id),
    instance_id       UUID NOT NULL REFERENCES instances (instance_id),
    instance_sha256   TEXT NOT NULL,
    network_name      TEXT NOT NULL,
    network_version   TEXT NOT NULL,
    network_sha256    TEXT NOT NULL,
    abstention_code   TEXT,
    abstention_reason TEXT,
    findings_text     TEXT,
    recommendations   TEXT,
    confidence        DOUBLE PRECISION,
    duration_ms       DOUBLE PRECISION NOT NULL,
    analyzed_at       TIMESTAMPTZ NOT NULL,
    UNIQUE (instance_id, instance_sha256, network_sha256)
);
CREATE INDEX analyses_by_time ON analyses (clinic_id, analyzed_at);
CREATE INDEX analyses_by_study ON analyses (study_id);

CREATE TABLE findings (
    finding_id   UUID PRIMARY KEY,
    clinic_id    UUID NOT NULL REFERENCES clinics (clinic_id),
    study_id     UUID NOT NULL REFERENCES studies (study_id),
    analysis_id  UUID NOT NULL REFERENCES analyses (analysis_id),
    label        TEXT NOT NULL,
    meaning      TEXT NOT NULL,
    probability  DOUBLE PRECISION NOT NULL,
    threshold    DOUBLE PRECISION,
    frame        BIGINT NOT NULL,
    region       JSONB,
    review_state TEXT NOT NULL,
    reviewed_by  TEXT,
    reviewed_at  TIMESTAMPTZ,
    comment      TEXT,
    UNIQUE (analysis_id, label)
);
CREATE INDEX findings_by_state ON findings (clinic_id, review_state);

CREATE TABLE jobs (
    job_id      UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    kind        TEXT NOT NULL,
    job_key     TEXT NOT NULL,
    body        JSONB NOT NULL,
    priority    BIGINT NOT NULL,
    -- queued, running or dead; what is done is deleted
    state       TEXT NOT NULL,
    tries       BIGINT NOT NULL,
    -- queued: not before; running: when the lease ends and another may take it
    run_at      TIMESTAMPTZ NOT NULL,
    last_error  TEXT,
    enqueued_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX jobs_waiting ON jobs (clinic_id, kind, job_key) WHERE state = 'queued';
CREATE INDEX jobs_by_time ON jobs (state, run_at);

CREATE TABLE events (
    event_id  UUID PRIMARY KEY,
    clinic_id UUID NOT NULL REFERENCES clinics (clinic_id),
    name      TEXT NOT NULL,
    body      JSONB NOT NULL,
    told_at   TIMESTAMPTZ NOT NULL
);
