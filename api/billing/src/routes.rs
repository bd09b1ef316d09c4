//! The house's paths, and who may go where.

mod seeds;

use clinical::role::{Action, Resource};
use gate::{Routes, Rule, delete, get, patch, post, put};

use crate::state::BillingState;
use crate::view::{InvoiceView, PaymentView, PlanView, RefundView, SubscriptionView, UsageView};
use crate::{config, invoices, payments, plans, subscriptions, webhook};

/// What refuses any body here.
const CARD: &str = "card-number-refused: a field holds what looks like a card number";
/// What refuses a record of a restricted patient.
const RESTRICTED: &str = "record-restricted: break the glass first";
/// What a provider's answer may come to.
const DECLINED: &str = "payment-declined: the payer's bank or the provider said no";
const UNREACHABLE: &str = "provider-unreachable: it did not answer, and nothing was charged";
const STATE: &str = "wrong-state: it is past that, or not there yet";
/// The largest webhook.
const WEBHOOK_BYTES: usize = 1 << 20;

/// The house, ready to be joined to others.
pub fn routes(state: BillingState) -> Routes {
    seeds::routes(state.clone())
        .merge(webhooks(state.clone()))
        .merge(invoices_and_payments(state.clone()))
        .merge(plans_and_subscriptions(state))
}

fn may(action: Action, resource: Resource) -> Rule {
    Rule::may(action, resource).own_by_record()
}

fn webhooks(state: BillingState) -> Routes {
    let hook = |path: &str| {
        post(path, Rule::PUBLIC)
            .takes_bytes("application/json", serde_json::json!({"type": "object"}))
            .body_limit(WEBHOOK_BYTES)
            .answers::<webhook::Taken>(200, "It is kept, now or before.")
            .refuses(400, "webhook-signature: it is missing, wrong or of another time; webhook-malformed")
            .refuses(403, "webhook-other-clinic: it is about a payment of another clinic")
            .refuses(404, "not-found: no such provider is set up")
            .refuses(503, "signature-unchecked: the provider could not be asked; send it again")
    };
    let provider = serde_json::json!({"type": "string", "enum": ["stripe", "razorpay", "phonepe", "paypal"]});
    Routes::new("payments")
        .add(
            hook("/api/payments/webhooks/{provider}")
                .says("What a provider tells of the service's own account.")
                .path_value("provider", provider.clone()),
            webhook::common,
        )
        .add(
            hook("/api/payments/webhooks/{provider}/{clinicId}")
                .says("What a provider tells of a clinic's account.")
                .path_value("provider", provider),
            webhook::of_clinic,
        )
        .with_state(state)
}

fn invoices_and_payments(state: BillingState) -> Routes {
    let change = |path: &str| {
        post(path, Rule::may(Action::Update, Resource::Invoice))
            .answers::<InvoiceView>(200, "The invoice.")
            .refuses(403, RESTRICTED)
            .refuses(409, STATE)
    };
    let name = serde_json::json!({"type": "string", "description": "Our id, or the provider's."});
    Routes::new("billing")
        .add(
            get("/api/v1/billing/invoices", may(Action::List, Resource::Invoice))
                .says("Invoices; a patient sees their own.")
                .query::<invoices::Filter>()
                .paged::<InvoiceView>("The invoices, newest first."),
            invoices::list,
        )
        .add(
            post("/api/v1/billing/invoices", Rule::may(Action::Create, Resource::Invoice))
                .says("Make an invoice of lines: a draft, or issued at once.")
                .takes::<invoices::InvoiceRequest>()
                .answers::<InvoiceView>(201, "The invoice.")
                .refuses(403, RESTRICTED)
                .refuses(
                    422,
                    "invalid-invoice, invalid-due-day, invalid-amount, invalid-currency, invalid-text",
                )
                .refuses(422, CARD),
            invoices::create,
        )
        .add(
            get("/api/v1/billing/invoices/{invoiceId}", may(Action::Read, Resource::Invoice))
                .says("One invoice with its lines.")
                .answers::<InvoiceView>(200, "The invoice.")
                .refuses(403, RESTRICTED),
            invoices::show,
        )
        .add(
            get("/api/v1/billing/invoices/{invoiceId}/pdf", may(Action::Read, Resource::Invoice))
                .says("One issued invoice on paper.")
                .answers_bytes(200, "application/pdf", "The invoice, with its sums as they stand now.")
                .refuses(403, RESTRICTED)
                .refuses(409, "wrong-state: a draft has no number yet"),
            invoices::pdf,
        )
        .add(
            change("/api/v1/billing/invoices/{invoiceId}/send")
                .says("Tell the patient's own people of an issued invoice once more; a payer without an account gets it by e-mail.")
                .refuses(409, "nobody-to-send: it is of no patient, and its payer has no e-mail address"),
            invoices::send,
        )
        .add(
            change("/api/v1/billing/invoices/{invoiceId}/issue")
                .says("Give a draft its number: from now on it is to be paid."),
            invoices::issue,
        )
        .add(
            change("/api/v1/billing/invoices/{invoiceId}/void")
                .says("Take an invoice back for which nothing has come in."),
            invoices::void,
        )
        .add(
            change("/api/v1/billing/invoices/{invoiceId}/uncollectible")
                .says("Give up what an open invoice still asks for."),
            invoices::give_up,
        )
        .add(
            get("/api/v1/billing/payments", may(Action::List, Resource::Payment))
                .says("Payments; a patient sees their own.")
                .query::<payments::Filter>()
                .paged::<PaymentView>("The payments, newest first."),
            payments::list,
        )
        .add(
            post("/api/v1/billing/payments", may(Action::Create, Resource::Payment))
                .says("Begin a payment: the payer acts, or a stored method is charged.")
                .takes::<payments::PaymentRequest>()
                .answers::<PaymentView>(201, "The payment, and what the payer's side needs.")
                .answers::<PaymentView>(202, "The provider has not answered yet; it is asked again.")
                .refuses(402, DECLINED)
                .refuses(409, "nothing-owed, payment-under-way, no-provider")
                .refuses(422, "invalid-amount, invalid-currency, amount-not-owed, invalid-url")
                .refuses(422, CARD)
                .refuses(502, UNREACHABLE),
            payments::create,
        )
        .add(
            get("/api/v1/billing/payments/{paymentId}", may(Action::Read, Resource::Payment))
                .says("One payment with its refunds and disputes.")
                .path_value("paymentId", name)
                .answers::<PaymentView>(200, "The payment.")
                .refuses(403, RESTRICTED),
            payments::show,
        )
        .add(
            post(
                "/api/v1/billing/payments/{paymentId}/capture",
                Rule::may(Action::Create, Resource::Payment),
            )
            .says("Take what is reserved, or a part of it.")
            .may_take::<payments::CaptureRequest>()
            .answers::<PaymentView>(200, "The payment.")
            .refuses(403, RESTRICTED)
            .refuses(409, STATE)
            .refuses(422, "invalid-amount: it is above what is reserved")
            .refuses(502, UNREACHABLE),
            payments::capture,
        )
        .add(
            post("/api/v1/billing/payments/{paymentId}/cancel", Rule::may(Action::Create, Resource::Payment))
                .says("Give up a payment of which nothing was taken.")
                .answers::<PaymentView>(200, "The payment.")
                .refuses(403, RESTRICTED)
                .refuses(409, STATE)
                .refuses(502, UNREACHABLE),
            payments::cancel,
        )
        .add(
            post(
                "/api/v1/billing/payments/{paymentId}/refunds",
                Rule::may(Action::Refund, Resource::Payment),
            )
            .says("Give money back, in part or all that is left.")
            .takes::<payments::PartRequest>()
            .answers::<RefundView>(201, "The refund; `asked` until the provider has answered.")
            .refuses(403, RESTRICTED)
            .refuses(409, "nothing-paid: nothing has come in; wrong-state: the provider says so")
            .refuses(422, "refund-above-paid, invalid-amount")
            .refuses(422, CARD),
            payments::refund,
        )
        .add(
            get("/api/v1/billing/balances", Rule::may(Action::List, Resource::Payment))
                .says("The accounts of the ledger with their balances.")
                .answers::<Vec<payments::BalanceView>>(200, "The balances; those of a currency sum to zero."),
            payments::balances,
        )
        .add(
            get("/api/v1/billing/config", Rule::may(Action::Read, Resource::Setting))
                .says("How the clinic bills, and through whom.")
                .answers::<config::ConfigView>(200, "The settings and accounts, without what is secret."),
            config::show,
        )
        .add(
            put("/api/v1/billing/config", Rule::may(Action::Update, Resource::Credential))
                .says("Say how the clinic bills, and through which accounts.")
                .takes::<config::ConfigRequest>()
                .answers::<config::ConfigView>(200, "The settings and accounts, without what is secret.")
                .refuses(422, "invalid-settings, invalid-account: errors names each member"),
            config::write,
        )
        .with_state(state)
}

fn plans_and_subscriptions(state: BillingState) -> Routes {
    let name =
        || serde_json::json!({"type": "string", "description": "Our id, or the provider's (`sub_…`)."});
    let change = |path: &str| {
        post(path, may(Action::Update, Resource::Subscription))
            .path_value("id", name())
            .answers::<SubscriptionView>(200, "The subscription.")
            .refuses(409, "wrong-state, kept-by-provider, plan-closed")
    };
    Routes::new("billing")
        .add(
            post("/api/v1/billing/plans", Rule::may(Action::Create, Resource::Plan))
                .says("Make a plan.")
                .takes::<plans::PlanRequest>()
                .answers::<PlanView>(201, "The plan.")
                .refuses(422, "invalid-plan, invalid-currency: errors names each member")
                .refuses(422, CARD),
            plans::create,
        )
        .add(
            get("/api/v1/billing/plans", Rule::may(Action::List, Resource::Plan))
                .says("The clinic's plans.")
                .paged::<PlanView>("The plans, newest first."),
            plans::list,
        )
        .add(
            get("/api/v1/billing/plans/{planId}", Rule::may(Action::Read, Resource::Plan))
                .says("One plan.")
                .answers::<PlanView>(200, "The plan."),
            plans::show,
        )
        .add(
            patch("/api/v1/billing/plans/{planId}", Rule::may(Action::Update, Resource::Plan))
                .says("Change a plan's words, or whether somebody may subscribe to it.")
                .takes::<plans::PlanChange>()
                .answers::<PlanView>(200, "The plan.")
                .refuses(422, "invalid-plan: errors names each member"),
            plans::change,
        )
        .add(
            delete("/api/v1/billing/plans/{planId}", Rule::may(Action::Delete, Resource::Plan))
                .says("Close a plan: nobody can subscribe to it any more; who has goes on.")
                .answers::<PlanView>(200, "The plan."),
            plans::close,
        )
        .add(
            post("/api/v1/billing/subscriptions", may(Action::Create, Resource::Subscription))
                .says("Subscribe to a plan.")
                .takes::<subscriptions::SubscribeRequest>()
                .answers::<SubscriptionView>(
                    201,
                    "The subscription, and its first invoice where it has no trial.",
                )
                .refuses(409, "plan-closed: nobody can subscribe to it any more")
                .refuses(422, "invalid-subscription: errors names the member")
                .refuses(422, CARD),
            subscriptions::create,
        )
        .add(
            get("/api/v1/billing/subscriptions", may(Action::List, Resource::Subscription))
                .says("Subscriptions; a patient sees their own.")
                .query::<subscriptions::Filter>()
                .paged::<SubscriptionView>("The subscriptions, newest first."),
            subscriptions::list,
        )
        .add(
            get("/api/v1/billing/subscriptions/{id}", may(Action::Read, Resource::Subscription))
                .says("One subscription, ours or one that a provider keeps.")
                .path_value("id", name())
                .answers::<SubscriptionView>(200, "The subscription."),
            subscriptions::show,
        )
        .add(
            patch("/api/v1/billing/subscriptions/{id}", may(Action::Update, Resource::Subscription))
                .says("Change the plan, to the day, or what is charged for it.")
                .path_value("id", name())
                .takes::<subscriptions::SubscriptionChange>()
                .answers::<SubscriptionView>(200, "The subscription, and the invoice of the difference.")
                .refuses(409, "wrong-state, kept-by-provider, plan-closed")
                .refuses(422, "other-currency: the plans have other currencies"),
            subscriptions::change,
        )
        .add(
            change("/api/v1/billing/subscriptions/{id}/pause").says("Put a subscription on hold."),
            subscriptions::pause,
        )
        .add(
            change("/api/v1/billing/subscriptions/{id}/resume")
                .says("Go on after a hold; the period ends as much later."),
            subscriptions::resume,
        )
        .add(
            post("/api/v1/billing/subscriptions/{id}/cancel", may(Action::Delete, Resource::Subscription))
                .says("End a subscription, at once or with its period.")
                .path_value("id", name())
                .may_take::<subscriptions::CancelRequest>()
                .answers::<SubscriptionView>(200, "The subscription.")
                .refuses(409, "wrong-state, kept-by-provider"),
            subscriptions::cancel,
        )
        .add(
            change("/api/v1/billing/subscriptions/{id}/reactivate")
                .says("Take the end of a subscription back; where its period is over, a new one is billed."),
            subscriptions::reactivate,
        )
        .add(
            post("/api/v1/billing/usage", Rule::may(Action::Update, Resource::Subscription))
                .says("Count something that was used of a subscription; under the same key it counts once.")
                .takes::<subscriptions::UsageRequest>()
                .answers::<UsageView>(201, "What is used of it in the period.")
                .refuses(409, "usage-limit: the plan allows no more; subscription-not-running")
                .refuses(422, "invalid-usage: errors names the member"),
            subscriptions::use_it,
        )
        .add(
            get("/api/v1/billing/usage", may(Action::Read, Resource::Subscription))
                .says("What was used of a subscription in the period that runs.")
                .query::<subscriptions::OfSubscription>()
                .answers::<Vec<UsageView>>(200, "Feature by feature."),
            subscriptions::used,
        )
        .add(
            get("/api/v1/billing/coverage", may(Action::Read, Resource::Subscription))
                .says("Whether a subscription of a patient covers one more of something, as an appointment.")
                .query::<subscriptions::Asked>()
                .answers::<subscriptions::Coverage>(200, "Which one does, and what is left of it."),
            subscriptions::coverage,
        )
        .with_state(state)
}
