-- Assessments of symptoms as they were asked and answered, to the byte; issues with drugs that somebody overrode, and why;
-- programs of other houses that may ask through CDS Hooks, and what came of the cards that they were given.

CREATE TABLE assessments (
    assessment_id     UUID PRIMARY KEY,
    clinic_id         UUID NOT NULL REFERENCES clinics (clinic_id),
    patient_id        UUID REFERENCES patients (patient_id),
    -- JSON, as it was read and as it was answered
    presentation      TEXT NOT NULL,
    answer            TEXT NOT NULL,
    urgency           TEXT NOT NULL,
    knowledge_version TEXT NOT NULL,
    made_by           TEXT NOT NULL,
    made_at           TIMESTAMPTZ NOT NULL
);
CREATE INDEX assessments_newest ON assessments (clinic_id, assessment_id);
CREATE INDEX assessments_of_patient ON assessments (patient_id, assessment_id);

CREATE TABLE issue_overrides (
    override_id   UUID PRIMARY KEY,
    clinic_id     UUID NOT NULL REFERENCES clinics (clinic_id),
    assessment_id UUID REFERENCES assessments (assessment_id),
    patient_id    UUID REFERENCES patients (patient_id),
    kind          TEXT NOT NULL,
    -- ids of ingredients
    drugs         JSONB NOT NULL,
    with_what     TEXT,
    -- the code of the reason, and more in words
    reason        TEXT NOT NULL,
    comment       TEXT,
    overridden_by TEXT NOT NULL,
    overridden_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX issue_overrides_newest ON issue_overrides (clinic_id, override_id);
CREATE INDEX issue_overrides_of_assessment ON issue_overrides (assessment_id);

CREATE TABLE cds_clients (
    client_id  UUID PRIMARY KEY,
    clinic_id  UUID NOT NULL REFERENCES clinics (clinic_id),
    -- the claim iss of its tokens
    issuer     TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- its public keys, as a JSON Web Key Set (RFC 7517)
    keys       JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (clinic_id, issuer)
);
CREATE INDEX cds_clients_by_issuer ON cds_clients (issuer);

CREATE TABLE cds_feedback (
    feedback_id UUID PRIMARY KEY,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    client_id   UUID NOT NULL,
    service     TEXT NOT NULL,
    card        TEXT NOT NULL,
    -- accepted or overridden
    outcome     TEXT NOT NULL,
    -- the code of the reason, and more in words
    reason      TEXT,
    comment     TEXT,
    happened_at TIMESTAMPTZ NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX cds_feedback_newest ON cds_feedback (clinic_id, feedback_id);

SELECT keep_clinics_apart();
