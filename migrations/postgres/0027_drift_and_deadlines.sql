-- How bright what the network was shown is: input that drifts is told beside scores that do.

ALTER TABLE analyses ADD COLUMN brightness DOUBLE PRECISION;

-- By when a job's work is wanted: it orders what a clinic waits for at one priority.
ALTER TABLE jobs ADD COLUMN due_at TIMESTAMPTZ;
