//! The paths of the applications that were there first.

use clinical::role::{Action, Resource};
use gate::{Operation, Routes, Rule, delete, get, post};

use super::{CARD, DECLINED, RESTRICTED, UNREACHABLE, may};
use crate::state::BillingState;
use crate::view::{CustomerView, PaymentMethodView, RefundView};
use crate::{customers, intents, seed};

/// The paths of the applications that were there first.
pub(super) fn routes(state: BillingState) -> Routes {
    let intent = |path: &str| -> Operation {
        post(path, may(Action::Create, Resource::Payment))
            .says("Begin a payment of an invoice, or of a sum; asked again before the payer acts, the same one is answered.")
            .takes::<intents::IntentRequest>()
            .answers::<intents::IntentView>(200, "What the payer's side needs; sums in minor units.")
            .answers::<intents::IntentView>(202, "The provider has not answered yet; it is asked again.")
            .refuses(402, DECLINED)
            .refuses(409, "nothing-owed, payment-under-way, no-provider")
            .refuses(422, "invalid-amount, invalid-currency, amount-not-owed")
            .refuses(422, CARD)
            .refuses(502, UNREACHABLE)
    };
    Routes::new("payments")
        .add(
            get("/api/payments/invoices", may(Action::List, Resource::Invoice))
                .says("Invoices with sums in major units; a patient sees their own.")
                .query::<seed::Filter>()
                .paged::<seed::SeedInvoice>("The invoices, newest first."),
            seed::invoices,
        )
        .add(intent("/api/payments/create-intent"), intents::create_intent)
        .add(intent("/api/payments/intent"), intents::create_intent)
        .add(
            post("/api/payments/confirm", may(Action::Create, Resource::Payment))
                .says("The payer's side is done: the provider is asked whether it is paid. What the body claims is not believed.")
                .takes::<intents::ConfirmRequest>()
                .answers::<intents::Confirmed>(200, "It is paid.")
                .answers::<intents::Confirmed>(202, "The provider is still at it.")
                .refuses(402, DECLINED)
                .refuses(409, "not-paid: the provider says so; already-confirmed: it was confirmed before")
                .refuses(422, "invalid-amount: it is not above zero")
                .refuses(422, CARD)
                .refuses(502, UNREACHABLE),
            intents::confirm,
        )
        .add(
            post("/api/payments/generate-bill", Rule::may(Action::Create, Resource::Invoice))
                .says("Bill a patient; the sum in major units, with tax.")
                .takes::<seed::BillRequest>()
                .answers::<seed::SeedInvoice>(201, "The invoice, issued.")
                .refuses(403, RESTRICTED)
                .refuses(422, "invalid-due-day, invalid-amount, invalid-currency, invalid-text")
                .refuses(422, CARD),
            seed::generate_bill,
        )
        .add(
            get("/api/payments/history", may(Action::List, Resource::Payment))
                .says("Payments with sums in major units; a patient sees their own.")
                .query::<seed::Filter>()
                .paged::<seed::SeedPayment>("The payments, newest first."),
            seed::history,
        )
        .add(
            post("/api/payments/refund", Rule::may(Action::Refund, Resource::Payment))
                .says("Give money back, in part or all that is left; the sum in minor units.")
                .takes::<seed::RefundRequest>()
                .answers::<RefundView>(201, "The refund; `asked` until the provider has answered.")
                .refuses(409, "nothing-paid: nothing has come in; wrong-state: the provider says so")
                .refuses(422, "refund-above-paid, invalid-amount, payment-missing")
                .refuses(422, CARD),
            seed::refund,
        )
        .add(
            post("/api/payments/customers", may(Action::Create, Resource::Payment))
                .says("Make somebody known who is billed.")
                .may_take::<customers::CustomerRequest>()
                .answers::<CustomerView>(201, "The customer.")
                .refuses(422, "invalid-text: errors names the member")
                .refuses(422, CARD),
            customers::create,
        )
        .add(
            get("/api/payments/customers", may(Action::List, Resource::Payment))
                .says("Who is billed.")
                .query::<customers::Filter>()
                .paged::<CustomerView>("The customers, newest first."),
            customers::list,
        )
        .add(
            get("/api/payments/methods", may(Action::List, Resource::Payment))
                .says("What a customer pays with; a patient sees their own.")
                .query::<customers::Whose>()
                .answers::<Vec<PaymentMethodView>>(200, "The methods, the one that is charged first.")
                .refuses(400, "invalid-query: customerId or patientId says whose"),
            customers::methods,
        )
        .add(
            post("/api/payments/methods", may(Action::Create, Resource::Payment))
                .says("Keep a method that the provider's form has made.")
                .takes::<customers::MethodRequest>()
                .answers::<PaymentMethodView>(201, "The method.")
                .refuses(409, "no-provider, not-supported, method-taken")
                .refuses(422, CARD)
                .refuses(502, UNREACHABLE),
            customers::add,
        )
        .add(
            post("/api/payments/methods/{methodId}/default", may(Action::Create, Resource::Payment))
                .says("Charge this method where none is named.")
                .answers::<PaymentMethodView>(200, "The method."),
            customers::prefer,
        )
        .add(
            post("/api/payments/methods/{methodId}/validate", may(Action::Read, Resource::Payment))
                .says("Whether a method can be charged, as its provider says now.")
                .answers::<customers::MethodCheck>(200, "Whether it can, and why not.")
                .refuses(409, "no-provider, not-supported: the provider tells nothing of methods")
                .refuses(502, UNREACHABLE),
            customers::validate,
        )
        .add(
            delete("/api/payments/methods/{methodId}", may(Action::Create, Resource::Payment))
                .says("Forget a method, here and at the provider.")
                .answers_nothing(204, "It is forgotten."),
            customers::forget,
        )
        .with_state(state)
}
