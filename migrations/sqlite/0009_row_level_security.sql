-- Nothing: SQLite has no row-level security. There the queries alone keep the
-- clinics apart; whoever can open the file can read all of it.
SELECT 1;
