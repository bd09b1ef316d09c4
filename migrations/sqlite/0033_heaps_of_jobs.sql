-- The jobs of a kind, a priority and a clinic that wait, in the order in which they are claimed.
CREATE INDEX jobs_heaps ON jobs (kind, priority, clinic_id, (due_at IS NULL), due_at, run_at) WHERE state = 'queued';
