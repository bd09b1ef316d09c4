-- What searches need beyond the first release: attributes of PS3.18's tables, indexes in the order in which pages
-- are read, what was removed and by whom, locked studies, and worklists (UPS).

ALTER TABLE studies ADD COLUMN timezone_offset TEXT;
-- the referring physician's name as it is searched by words: without case and accents
ALTER TABLE studies ADD COLUMN referring_words TEXT;
-- when the last of its instances was hidden
ALTER TABLE studies ADD COLUMN hidden_at TEXT;
-- since when nothing may be stored into it
ALTER TABLE studies ADD COLUMN locked_at TEXT;
-- of each item of Request Attributes Sequence (0040,0275), parted by backslashes
ALTER TABLE series ADD COLUMN step_ids TEXT;
ALTER TABLE series ADD COLUMN procedure_ids TEXT;
ALTER TABLE series ADD COLUMN hidden_at TEXT;
ALTER TABLE instances ADD COLUMN hidden_at TEXT;

DROP INDEX studies_by_date;
DROP INDEX studies_by_patient;
DROP INDEX studies_by_accession;
DROP INDEX patients_by_mrn;
DROP INDEX patients_by_name;
DROP INDEX instances_by_series;
DROP INDEX instances_by_study;
CREATE INDEX studies_newest ON studies
    (clinic_id, study_date DESC, study_time DESC, study_uid);
CREATE UNIQUE INDEX studies_of_patient ON studies (clinic_id, patient_id, study_id);
CREATE INDEX studies_by_accession ON studies (clinic_id, accession_number, study_id);
CREATE UNIQUE INDEX patients_by_mrn ON patients (clinic_id, mrn, patient_id);
CREATE UNIQUE INDEX patients_by_name ON patients (clinic_id, name_key, patient_id);
CREATE INDEX series_by_uid ON series (clinic_id, series_uid);
CREATE INDEX series_newest ON series (clinic_id, series_id) WHERE hidden_at IS NULL;
CREATE INDEX instances_newest ON instances (clinic_id, instance_id) WHERE hidden_at IS NULL;
-- counted and listed without those that are hidden
CREATE INDEX instances_by_series ON instances (series_id, hidden_at);
CREATE INDEX instances_by_study ON instances (study_id, hidden_at);

-- What was removed: it outlives its rows. No foreign keys to imaging, for that goes.
CREATE TABLE tombstones (
    tombstone_id   BLOB PRIMARY KEY,
    clinic_id      BLOB NOT NULL REFERENCES clinics (clinic_id),
    study_id       BLOB NOT NULL,
    study_uid      TEXT NOT NULL,
    -- NULL where the whole study was meant
    series_uid     TEXT,
    sop_uid        TEXT,
    -- 'deleted', or the code of a rejection note (DCM 113001, 113037, 113038, 113039)
    code           TEXT NOT NULL,
    reason         TEXT NOT NULL,
    removed_by     TEXT NOT NULL,
    removed_at     TEXT NOT NULL,
    instance_count BIGINT NOT NULL,
    -- until then rows and bytes are kept, hidden
    kept_until     TEXT NOT NULL,
    -- when they went
    purged_at      TEXT
);
CREATE INDEX tombstones_newest ON tombstones (clinic_id, tombstone_id);
CREATE INDEX tombstones_due ON tombstones (kept_until) WHERE purged_at IS NULL;

-- SOP Instances that are hidden, or would be if they came into that study.
CREATE TABLE rejections (
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    sop_uid      TEXT NOT NULL,
    study_uid    TEXT NOT NULL,
    code         TEXT NOT NULL,
    tombstone_id BLOB NOT NULL REFERENCES tombstones (tombstone_id),
    PRIMARY KEY (clinic_id, study_uid, sop_uid)
);
CREATE INDEX rejections_of_tombstone ON rejections (tombstone_id);

-- Unified Procedure Steps (PS3.4, annex CC): the work that a worklist holds.
CREATE TABLE workitems (
    workitem_id     BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- Affected SOP Instance UID (0000,1000)
    workitem_uid    TEXT NOT NULL,
    -- SCHEDULED, IN PROGRESS, COMPLETED or CANCELED
    state           TEXT NOT NULL,
    -- of whoever performs it
    transaction_uid TEXT,
    priority        TEXT NOT NULL,
    label           TEXT NOT NULL,
    worklist        TEXT,
    -- DICOM date and time, as text
    scheduled_at    TEXT,
    expected_at     TEXT,
    patient_name    TEXT,
    patient_key     TEXT,
    mrn             TEXT,
    issuer          TEXT,
    -- whom Patient ID and issuer mean, where they are known
    patient_id      BLOB,
    -- the study that it is about, and ours, where there is one
    study_uid       TEXT,
    study_id        BLOB,
    -- the data set as DICOM JSON
    body            TEXT NOT NULL,
    -- it asks for an analysis, which has been asked for
    is_ours         BOOLEAN NOT NULL,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    UNIQUE (clinic_id, workitem_uid)
);
CREATE INDEX workitems_newest ON workitems (clinic_id, workitem_id);
CREATE INDEX workitems_of_state ON workitems (clinic_id, state, workitem_id);
CREATE INDEX workitems_of_study ON workitems (clinic_id, study_id) WHERE study_id IS NOT NULL;

-- Every study that a step names; it may come later.
CREATE TABLE workitem_inputs (
    workitem_id BLOB NOT NULL REFERENCES workitems (workitem_id) ON DELETE CASCADE,
    clinic_id   BLOB NOT NULL REFERENCES clinics (clinic_id),
    study_uid   TEXT NOT NULL,
    -- it was there when the step was written
    was_known   BOOLEAN NOT NULL,
    PRIMARY KEY (workitem_id, study_uid)
);
CREATE INDEX workitem_inputs_by_study ON workitem_inputs (clinic_id, study_uid);
