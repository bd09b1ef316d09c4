-- A list goes on after the record that its cursor names: each has an index in that order.

DROP INDEX findings_by_state;
DROP INDEX analyses_by_time;
CREATE INDEX findings_newest ON findings (clinic_id, finding_id);
CREATE INDEX findings_newest_of_state ON findings (clinic_id, review_state, finding_id);
CREATE INDEX findings_by_study ON findings (study_id);
CREATE INDEX analyses_newest ON analyses (clinic_id, analysis_id);
CREATE INDEX clinics_patients_newest ON patients (clinic_id, patient_id);
CREATE INDEX events_newest_of_name ON events (clinic_id, name, event_id);
CREATE INDEX webhook_deliveries_of_state ON webhook_deliveries (webhook_id, state, delivery_id);
-- what is over is forgotten by its age
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE state <> 'waiting';
