-- The payments of one state, newest first.
CREATE INDEX payments_of_state ON payments (clinic_id, status, payment_id);

-- What providers told and nobody has settled: few of many.
CREATE INDEX provider_events_waiting ON provider_events (clinic_id, provider_event_id) WHERE state = 'waiting';
