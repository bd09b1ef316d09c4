-- Money: one double-entry ledger that is only ever added to; invoices with their lines and numbers without gaps; customers, what
-- they pay with, payments, refunds and disputes at providers; plans, subscriptions and what was used; what providers sent.
-- Amounts are whole minor units of the currency that stands beside them (ISO 4217).

CREATE TABLE billing_settings (
    clinic_id  BLOB PRIMARY KEY REFERENCES clinics (clinic_id),
    settings   TEXT NOT NULL,
    changed_at TEXT NOT NULL
);

CREATE TABLE billing_customers (
    customer_id BLOB PRIMARY KEY,
    clinic_id   BLOB NOT NULL REFERENCES clinics (clinic_id),
    patient_id  BLOB REFERENCES patients (patient_id),
    name        TEXT NOT NULL,
    email       TEXT,
    phone       TEXT,
    -- ISO 3166-1, two letters
    country     TEXT,
    created_at  TEXT NOT NULL,
    changed_at  TEXT NOT NULL
);
CREATE INDEX billing_customers_newest ON billing_customers (clinic_id, customer_id);
CREATE INDEX billing_customers_of_patient ON billing_customers (patient_id, customer_id);

-- Under which name a provider knows a customer.
CREATE TABLE provider_customers (
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    customer_id  BLOB NOT NULL REFERENCES billing_customers (customer_id),
    provider     TEXT NOT NULL,
    provider_ref TEXT NOT NULL,
    PRIMARY KEY (customer_id, provider)
);
CREATE INDEX provider_customers_by_ref ON provider_customers (clinic_id, provider, provider_ref);

-- A provider's token of a card or an account; never its number.
CREATE TABLE payment_methods (
    method_id    BLOB PRIMARY KEY,
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    customer_id  BLOB NOT NULL REFERENCES billing_customers (customer_id),
    provider     TEXT NOT NULL,
    provider_ref TEXT NOT NULL,
    kind         TEXT NOT NULL,
    brand        TEXT,
    last4        TEXT,
    exp_month    BIGINT,
    exp_year     BIGINT,
    is_default   BOOLEAN NOT NULL,
    created_at   TEXT NOT NULL,
    UNIQUE (clinic_id, provider, provider_ref)
);
CREATE INDEX payment_methods_of_customer ON payment_methods (customer_id, method_id);

CREATE TABLE plans (
    plan_id        BLOB PRIMARY KEY,
    clinic_id      BLOB NOT NULL REFERENCES clinics (clinic_id),
    name           TEXT NOT NULL,
    description    TEXT,
    currency       TEXT NOT NULL,
    amount_minor   BIGINT NOT NULL,
    -- hundredths of a per cent
    tax_rate       BIGINT NOT NULL,
    -- day, week, month or year, and how many of them
    period_unit    TEXT NOT NULL,
    period_count   BIGINT NOT NULL,
    trial_days     BIGINT NOT NULL,
    -- what may be used in a period, feature by feature; NULL: without bound
    limits         TEXT NOT NULL,
    is_active      BOOLEAN NOT NULL,
    created_at     TEXT NOT NULL,
    changed_at     TEXT NOT NULL
);
CREATE INDEX plans_newest ON plans (clinic_id, plan_id);

CREATE TABLE subscriptions (
    subscription_id BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    customer_id     BLOB REFERENCES billing_customers (customer_id),
    patient_id      BLOB REFERENCES patients (patient_id),
    plan_id         BLOB REFERENCES plans (plan_id),
    -- a provider's own subscription, of which its webhooks tell; ours have none
    provider        TEXT,
    provider_ref    TEXT,
    status          TEXT NOT NULL,
    method_id       BLOB REFERENCES payment_methods (method_id),
    trial_ends_at   TEXT,
    -- the day of the month that periods keep to where the month has it
    anchor_day      BIGINT NOT NULL,
    period_start    TEXT NOT NULL,
    period_end      TEXT NOT NULL,
    ends_with_period BOOLEAN NOT NULL,
    paused_at       TEXT,
    -- what an earlier change still owes the customer (below zero: is owed by them), with the next invoice
    carried_minor   BIGINT NOT NULL,
    canceled_at     TEXT,
    ended_at        TEXT,
    reason          TEXT,
    -- when a provider told of its own subscription: what it told earlier and comes later changes nothing
    told_at         TEXT,
    created_at      TEXT NOT NULL,
    changed_at      TEXT NOT NULL,
    UNIQUE (clinic_id, provider, provider_ref)
);
CREATE INDEX subscriptions_newest ON subscriptions (clinic_id, subscription_id);
CREATE INDEX subscriptions_of_patient ON subscriptions (patient_id, subscription_id);
CREATE INDEX subscriptions_due ON subscriptions (period_end)
 WHERE provider IS NULL AND status IN ('trialing', 'active', 'past_due');

CREATE TABLE usage_records (
    usage_id        BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    subscription_id BLOB NOT NULL REFERENCES subscriptions (subscription_id),
    feature         TEXT NOT NULL,
    quantity        BIGINT NOT NULL,
    -- the caller's name for it: told twice, it counts once
    usage_key       TEXT NOT NULL,
    used_at         TEXT NOT NULL,
    UNIQUE (subscription_id, usage_key)
);
CREATE INDEX usage_records_of_feature ON usage_records (subscription_id, feature, used_at);

-- The last number that a clinic has given an invoice; one transaction gives number and row, so that none is left out.
CREATE TABLE invoice_numbers (
    clinic_id BLOB PRIMARY KEY REFERENCES clinics (clinic_id),
    last      BIGINT NOT NULL
);

CREATE TABLE invoices (
    invoice_id      BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- NULL: a draft
    number          BIGINT,
    patient_id      BLOB REFERENCES patients (patient_id),
    customer_id     BLOB REFERENCES billing_customers (customer_id),
    subscription_id BLOB REFERENCES subscriptions (subscription_id),
    -- draft, open, paid, partly_refunded, refunded, void or uncollectible
    status          TEXT NOT NULL,
    currency        TEXT NOT NULL,
    description     TEXT NOT NULL,
    net_minor       BIGINT NOT NULL,
    discount_minor  BIGINT NOT NULL,
    tax_minor       BIGINT NOT NULL,
    total_minor     BIGINT NOT NULL,
    paid_minor      BIGINT NOT NULL,
    refunded_minor  BIGINT NOT NULL,
    issued_at       TEXT,
    due_at          TEXT,
    paid_at         TEXT,
    -- how often somebody was reminded, and when that is next
    reminders       BIGINT NOT NULL,
    remind_at       TEXT,
    created_by      TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    changed_at      TEXT NOT NULL,
    UNIQUE (clinic_id, number)
);
CREATE INDEX invoices_newest ON invoices (clinic_id, invoice_id);
CREATE INDEX invoices_of_state ON invoices (clinic_id, status, invoice_id);
CREATE INDEX invoices_of_patient ON invoices (patient_id, invoice_id);
CREATE INDEX invoices_of_subscription ON invoices (subscription_id, invoice_id);
CREATE INDEX invoices_to_remind ON invoices (remind_at) WHERE remind_at IS NOT NULL;

CREATE TABLE invoice_lines (
    clinic_id      BLOB NOT NULL REFERENCES clinics (clinic_id),
    invoice_id     BLOB NOT NULL REFERENCES invoices (invoice_id),
    place          BIGINT NOT NULL,
    description    TEXT NOT NULL,
    quantity       BIGINT NOT NULL,
    unit_minor     BIGINT NOT NULL,
    discount_minor BIGINT NOT NULL,
    tax_rate       BIGINT NOT NULL,
    tax_minor      BIGINT NOT NULL,
    total_minor    BIGINT NOT NULL,
    PRIMARY KEY (invoice_id, place)
);

CREATE TABLE payments (
    payment_id      BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    invoice_id      BLOB REFERENCES invoices (invoice_id),
    customer_id     BLOB REFERENCES billing_customers (customer_id),
    patient_id      BLOB REFERENCES patients (patient_id),
    method_id       BLOB REFERENCES payment_methods (method_id),
    provider        TEXT NOT NULL,
    -- NULL until the provider has answered
    provider_ref    TEXT,
    status          TEXT NOT NULL,
    currency        TEXT NOT NULL,
    amount_minor    BIGINT NOT NULL,
    captured_minor  BIGINT NOT NULL,
    refunded_minor  BIGINT NOT NULL,
    -- held by the payer's bank while a dispute is open, and lost in disputes
    disputed_minor  BIGINT NOT NULL,
    lost_minor      BIGINT NOT NULL,
    description     TEXT NOT NULL,
    captures_later  BOOLEAN NOT NULL,
    -- where the payer's browser comes back to
    return_url      TEXT,
    failure         TEXT,
    created_by      TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    changed_at      TEXT NOT NULL,
    settled_at      TEXT,
    -- when the payer's side told that it was done, and the provider said so too
    confirmed_at    TEXT
);
CREATE UNIQUE INDEX payments_by_ref ON payments (provider, provider_ref, clinic_id);
CREATE INDEX payments_newest ON payments (clinic_id, payment_id);
CREATE INDEX payments_of_patient ON payments (patient_id, payment_id);
CREATE INDEX payments_of_invoice ON payments (invoice_id, payment_id);
CREATE INDEX payments_unsettled ON payments (status, changed_at)
 WHERE status IN ('asked', 'requires_action', 'processing');

CREATE TABLE refunds (
    refund_id    BLOB PRIMARY KEY,
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    payment_id   BLOB NOT NULL REFERENCES payments (payment_id),
    provider_ref TEXT,
    -- asked, pending, succeeded or failed
    status       TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    reason       TEXT,
    created_by   TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    changed_at   TEXT NOT NULL,
    UNIQUE (payment_id, provider_ref)
);
CREATE INDEX refunds_newest ON refunds (clinic_id, refund_id);

CREATE TABLE disputes (
    dispute_id   BLOB PRIMARY KEY,
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    payment_id   BLOB NOT NULL REFERENCES payments (payment_id),
    provider_ref TEXT NOT NULL,
    -- open, closed, won or lost
    status       TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    reason       TEXT,
    opened_at    TEXT NOT NULL,
    closed_at    TEXT,
    UNIQUE (payment_id, provider_ref)
);
CREATE INDEX disputes_newest ON disputes (clinic_id, dispute_id);

-- What providers sent: kept before it is answered, settled by asking the provider again.
CREATE TABLE provider_events (
    provider_event_id BLOB PRIMARY KEY,
    clinic_id         BLOB NOT NULL REFERENCES clinics (clinic_id),
    provider          TEXT NOT NULL,
    -- the provider's own identifier of the event
    event_ref         TEXT NOT NULL,
    kind              TEXT NOT NULL,
    -- which object it is about, to be read again
    subject           TEXT NOT NULL,
    -- what it says of a subscription that the provider keeps
    hint              TEXT,
    happened_at       TEXT,
    -- whether the clinic's own account sent it, or one that serves many
    is_own            BOOLEAN NOT NULL,
    -- waiting, settled or ignored
    state             TEXT NOT NULL,
    received_at       TEXT NOT NULL,
    settled_at        TEXT,
    UNIQUE (clinic_id, provider, event_ref)
);
CREATE INDEX provider_events_newest ON provider_events (clinic_id, provider_event_id);

CREATE TABLE ledger_accounts (
    account_id BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- receivable, revenue, tax, clearing:stripe …
    code       TEXT NOT NULL,
    currency   TEXT NOT NULL,
    UNIQUE (clinic_id, code, currency)
);

CREATE TABLE ledger_transactions (
    transaction_id BLOB PRIMARY KEY,
    clinic_id      BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- what it books, so that nothing is booked twice
    reference      TEXT NOT NULL,
    invoice_id     BLOB,
    payment_id     BLOB,
    booked_at      TEXT NOT NULL,
    UNIQUE (clinic_id, reference)
);
CREATE INDEX ledger_transactions_of_payment ON ledger_transactions (payment_id);
CREATE INDEX ledger_transactions_of_invoice ON ledger_transactions (invoice_id);

CREATE TABLE ledger_entries (
    clinic_id      BLOB NOT NULL REFERENCES clinics (clinic_id),
    transaction_id BLOB NOT NULL REFERENCES ledger_transactions (transaction_id),
    place          BIGINT NOT NULL,
    account_id     BLOB NOT NULL REFERENCES ledger_accounts (account_id),
    -- debit above zero, credit below; those of a transaction and currency sum to zero
    amount_minor   BIGINT NOT NULL,
    PRIMARY KEY (transaction_id, place)
);
CREATE INDEX ledger_entries_of_account ON ledger_entries (account_id, transaction_id);

-- What is booked stays booked: a correction is a transaction of its own.
CREATE TRIGGER ledger_transactions_keep_update BEFORE UPDATE ON ledger_transactions
BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END;
CREATE TRIGGER ledger_transactions_keep_delete BEFORE DELETE ON ledger_transactions
BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END;
CREATE TRIGGER ledger_entries_keep_update BEFORE UPDATE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END;
CREATE TRIGGER ledger_entries_keep_delete BEFORE DELETE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END;
