//! Money: invoices, payments through providers, plans and subscriptions, over one double-entry ledger.
//!
//! Tells `invoice_*`, `payment_*` and `subscription_changed`; hears nothing. What a provider must be asked is asked outside
//! every transaction; what it answers, and what its webhooks bring about, is read from it again and written down once.

mod accounts;
mod books;
mod card_number;
mod cashier;
mod collect;
mod config;
mod customer;
mod customers;
mod dunning;
mod inbox;
mod input;
mod intents;
mod invoice;
mod invoices;
pub mod ledger;
mod lines;
mod looking_after;
mod paper;
mod past;
mod payment;
mod payments;
mod period;
mod plan;
mod plans;
mod progress;
pub mod provider;
mod reconcile;
mod refund;
mod returned;
mod routes;
mod seed;
mod service;
mod settings;
mod state;
mod subscribe;
mod subscription;
mod subscriptions;
#[cfg(test)]
mod tests;
mod told_subscription;
mod usage;
mod view;
mod webhook;
mod words;

pub use accounts::{Account, AccountError, Accounts, Maker, Parts};
pub use cashier::{Cashier, SettleError};
pub use invoice::mail::{InvoiceMail, InvoiceMailError};
pub use paper::PaperError;
pub use past::{PastInvoice, PastStep};
pub use reconcile::{Difference, NotAsked, Reconciled};
pub use routes::routes;
pub use service::{PayPalAccount, PhonePeAccount, RazorpayAccount, ServiceSettings, StripeAccount};
pub use settings::{BillingSettings, ProviderRule};
pub use state::BillingState;
pub use view::{
    CustomerView, InvoiceView, PaymentMethodView, PaymentView, PlanView, RefundView, SubscriptionView,
    UsageView,
};
