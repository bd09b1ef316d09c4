-- The jobs of a kind, a priority and a clinic that wait, in the order in which they are claimed: those that are wanted by
-- a time first.
CREATE INDEX jobs_heaps ON jobs (kind, priority, clinic_id, run_at) WHERE state = 'queued';
CREATE INDEX jobs_wanted ON jobs (kind, priority, clinic_id, due_at, run_at)
 WHERE state = 'queued' AND due_at IS NOT NULL;
