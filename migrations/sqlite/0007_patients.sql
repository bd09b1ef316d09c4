-- Patients as people: how to reach them, every identifier that means them, what
-- is stated about them, who may look in an emergency, and what has become of a record.

ALTER TABLE patients ADD COLUMN phone TEXT;
ALTER TABLE patients ADD COLUMN email TEXT;
ALTER TABLE patients ADD COLUMN address TEXT;
-- family and given name as they are searched: without case and accents
ALTER TABLE patients ADD COLUMN family_key TEXT NOT NULL DEFAULT '';
ALTER TABLE patients ADD COLUMN given_key TEXT NOT NULL DEFAULT '';
-- seen by those who treat only after they have broken the glass
ALTER TABLE patients ADD COLUMN is_restricted BOOLEAN NOT NULL DEFAULT FALSE;
-- the record that stands for this one; it is never itself merged
ALTER TABLE patients ADD COLUMN merged_into BLOB REFERENCES patients (patient_id);
ALTER TABLE patients ADD COLUMN erased_at TEXT;
ALTER TABLE patients ADD COLUMN updated_at TEXT;
UPDATE patients SET updated_at = created_at;
-- who has a name and no keys: the program fills them after this step, for SQL cannot take accents off
CREATE INDEX patients_without_keys ON patients (patient_id)
 WHERE family_key = '' AND given_key = '' AND name <> '';
CREATE INDEX patients_by_family ON patients (clinic_id, family_key);
CREATE INDEX patients_by_given ON patients (clinic_id, given_key);
CREATE INDEX patients_by_birth ON patients (clinic_id, birth_date);
CREATE INDEX patients_merged ON patients (clinic_id, merged_into) WHERE merged_into IS NOT NULL;

-- What means a patient. It took over from patients.patient_key, which holds no more than the patient's own
-- identifier in rows that were written since.
CREATE TABLE patient_identifiers (
    clinic_id   BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- issuer and value; of a study without Patient ID, the study's UID
    patient_key TEXT NOT NULL,
    patient_id  BLOB NOT NULL REFERENCES patients (patient_id),
    -- NULL where the key is a study's
    issuer      TEXT,
    value       TEXT,
    created_at  TEXT NOT NULL,
    PRIMARY KEY (clinic_id, patient_key)
);
CREATE INDEX patient_identifiers_by_patient ON patient_identifiers (clinic_id, patient_id);
CREATE INDEX patient_identifiers_by_value ON patient_identifiers (clinic_id, value);
INSERT INTO patient_identifiers (clinic_id, patient_key, patient_id, issuer, value, created_at)
SELECT clinic_id, patient_key, patient_id,
       CASE WHEN mrn <> '' THEN issuer END, CASE WHEN mrn <> '' THEN mrn END, created_at
  FROM patients;

-- Allergies, conditions, medication and vital signs. What was entered in error stays and says so.
CREATE TABLE statements (
    statement_id        BLOB PRIMARY KEY,
    clinic_id           BLOB NOT NULL REFERENCES clinics (clinic_id),
    patient_id          BLOB NOT NULL REFERENCES patients (patient_id),
    -- allergy, condition, medication or vital
    kind                TEXT NOT NULL,
    code                TEXT NOT NULL,
    body                TEXT NOT NULL,
    is_entered_in_error BOOLEAN NOT NULL,
    recorded_by         TEXT NOT NULL,
    recorded_at         TEXT NOT NULL,
    updated_at          TEXT NOT NULL
);
CREATE INDEX statements_of_patient ON statements (clinic_id, patient_id, statement_id);
CREATE INDEX statements_of_kind ON statements (clinic_id, patient_id, kind, statement_id);

-- Who has broken the glass before which record, why, and until when it stays broken.
CREATE TABLE break_glass_grants (
    grant_id   BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    patient_id BLOB NOT NULL REFERENCES patients (patient_id),
    user_id    BLOB NOT NULL REFERENCES users (user_id),
    reason     TEXT NOT NULL,
    granted_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
CREATE INDEX break_glass_newest ON break_glass_grants (clinic_id, grant_id);
CREATE INDEX break_glass_of_user ON break_glass_grants (clinic_id, user_id, expires_at);
