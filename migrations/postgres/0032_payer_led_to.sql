-- Where the payer was led to: not every provider says it twice.
ALTER TABLE payments ADD COLUMN payer_url TEXT;
