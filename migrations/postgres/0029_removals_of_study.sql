-- What was removed from one study, newest first.
CREATE INDEX tombstones_of_study ON tombstones (clinic_id, study_uid, tombstone_id);
