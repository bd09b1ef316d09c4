-- A notice that a person took out of their list: since when. Until now `is_listed` alone said so, and who came back got it again.

ALTER TABLE live_recipients ADD COLUMN removed_at TEXT;
UPDATE live_recipients SET removed_at = read_at WHERE NOT is_listed;

-- Those whom a message was written for are asked for within a clinic.
CREATE INDEX live_recipients_by_message ON live_recipients (message_id, clinic_id, user_id);
DROP INDEX live_recipients_of_message;
