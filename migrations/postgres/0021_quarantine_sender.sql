-- Who sent what is held back: by it, too, is decided where it is forwarded to once it is released.

ALTER TABLE quarantine ADD COLUMN calling_ae TEXT;
