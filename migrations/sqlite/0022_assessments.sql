-- Assessments of symptoms as they were asked and answered, to the byte; issues with drugs that somebody overrode, and why;
-- programs of other houses that may ask through CDS Hooks, and what came of the cards that they were given.

CREATE TABLE assessments (
    assessment_id     BLOB PRIMARY KEY,
    clinic_id         BLOB NOT NULL REFERENCES clinics (clinic_id),
    patient_id        BLOB REFERENCES patients (patient_id),
    -- JSON, as it was read and as it was answered
    presentation      TEXT NOT NULL,
    answer            TEXT NOT NULL,
    urgency           TEXT NOT NULL,
    knowledge_version TEXT NOT NULL,
    made_by           TEXT NOT NULL,
    made_at           TEXT NOT NULL
);
CREATE INDEX assessments_newest ON assessments (clinic_id, assessment_id);
CREATE INDEX assessments_of_patient ON assessments (patient_id, assessment_id);

CREATE TABLE issue_overrides (
    override_id   BLOB PRIMARY KEY,
    clinic_id     BLOB NOT NULL REFERENCES clinics (clinic_id),
    assessment_id BLOB REFERENCES assessments (assessment_id),
    patient_id    BLOB REFERENCES patients (patient_id),
    kind          TEXT NOT NULL,
    -- ids of ingredients
    drugs         TEXT NOT NULL,
    with_what     TEXT,
    -- the code of the reason, and more in words
    reason        TEXT NOT NULL,
    comment       TEXT,
    overridden_by TEXT NOT NULL,
    overridden_at TEXT NOT NULL
);
CREATE INDEX issue_overrides_newest ON issue_overrides (clinic_id, override_id);
CREATE INDEX issue_overrides_of_assessment ON issue_overrides (assessment_id);

CREATE TABLE cds_clients (
    client_id  BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- the claim iss of its tokens
    issuer     TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- its public keys, as a JSON Web Key Set (RFC 7517)
    keys       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (clinic_id, issuer)
);
CREATE INDEX cds_clients_by_issuer ON cds_clients (issuer);

CREATE TABLE cds_feedback (
    feedback_id BLOB PRIMARY KEY,
    clinic_id   BLOB NOT NULL REFERENCES clinics (clinic_id),
    client_id   BLOB NOT NULL,
    service     TEXT NOT NULL,
    card        TEXT NOT NULL,
    -- accepted or overridden
    outcome     TEXT NOT NULL,
    -- the code of the reason, and more in words
    reason      TEXT,
    comment     TEXT,
    happened_at TEXT NOT NULL,
    received_at TEXT NOT NULL
);
CREATE INDEX cds_feedback_newest ON cds_feedback (clinic_id, feedback_id);
