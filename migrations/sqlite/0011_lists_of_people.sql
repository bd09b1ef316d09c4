-- A clinic's members and a study's findings, too, are listed along an index.

CREATE INDEX memberships_newest ON memberships (clinic_id, membership_id);
DROP INDEX findings_by_study;
CREATE INDEX findings_newest_of_study ON findings (study_id, finding_id);
