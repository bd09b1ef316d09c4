//! What every adapter must keep.

use std::collections::HashSet;
use std::time::Duration;

use billing::provider::{
    CaptureMethod, Confirm, DisputeState, IdempotencyKey, Intent, IntentState, NewCustomer, NewIntent,
    NewRefund, Operation, PayWith, PaymentProvider, ProviderError, ProviderName, RefundState, Subject,
    SubscriptionStatus, WebhookError,
};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::{Clock, SystemClock};
use futures::future::join_all;
use uuid::Uuid;

use crate::stubs::{Ending, Stub, Trouble};

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub fn new_intent(stub: &dyn Stub, minor: i64) -> NewIntent {
    let reference = Uuid::now_v7();
    NewIntent {
        amount: stub.sum(minor),
        reference,
        key: IdempotencyKey::of(reference, "create"),
        customer_id: None,
        description: "Invoice 2026-0001".to_owned(),
        capture: CaptureMethod::Automatic,
        pay_with: PayWith::Payer,
        return_url: Some("https://clinic.example.org/paid".to_owned()),
        webhook_url: Some("https://clinic.example.org/api/payments/webhooks/phonepe".to_owned()),
    }
}

fn new_refund(stub: &dyn Stub, intent: &Intent, minor: i64) -> NewRefund {
    let reference = Uuid::now_v7();
    NewRefund {
        payment_id: intent.provider_id.clone(),
        amount: stub.sum(minor),
        reference,
        payment_reference: intent.reference.unwrap(),
        key: IdempotencyKey::of(reference, "refund"),
    }
}

fn confirmation(intent: &Intent) -> Confirm {
    Confirm {
        provider_id: intent.provider_id.clone(),
        method_id: None,
        return_url: None,
        key: IdempotencyKey::of(intent.reference.unwrap(), "confirm"),
    }
}

/// What billing does when the payer comes back: it reads, and finishes what is agreed.
async fn finish(provider: &dyn PaymentProvider, intent: &Intent) -> Result<Intent, ProviderError> {
    let known = provider.read(&intent.provider_id).await?;
    if known.state != IntentState::AwaitingConfirmation {
        return Ok(known);
    }
    provider.confirm(&confirmation(intent)).await
}

async fn pay(stub: &dyn Stub, provider: &dyn PaymentProvider, minor: i64) -> Intent {
    let intent = provider.create(&new_intent(stub, minor)).await.unwrap();
    stub.payer_agrees(&intent.provider_id);
    let paid = finish(provider, &intent).await.unwrap();
    assert_eq!(paid.state, IntentState::Succeeded);
    paid
}

fn is_unsupported(error: Option<ProviderError>, of: Operation) -> bool {
    matches!(error, Some(ProviderError::Unsupported { operation, .. }) if operation == of)
}

pub async fn paid(stub: &dyn Stub) {
    let provider = stub.provider();
    let ask = new_intent(stub, 15_000);
    let asked_at = now();
    let made = provider.create(&ask).await.unwrap();
    assert_eq!(
        (made.state, made.amount, made.reference),
        (IntentState::AwaitingPayer, ask.amount, Some(ask.reference))
    );
    assert_eq!(made.captured, stub.sum(0));
    assert!(made.next.is_some(), "the payer must be led somewhere");

    stub.payer_agrees(&made.provider_id);
    let paid = finish(&*provider, &made).await.unwrap();
    let read = provider.read(&made.provider_id).await.unwrap();
    for intent in [&paid, &read] {
        assert_eq!((intent.state, intent.captured), (IntentState::Succeeded, ask.amount));
        assert_eq!((intent.reference, &intent.next), (Some(ask.reference), &None));
    }
    assert_eq!(stub.taken(ask.reference), (15_000, 1));

    if provider.supports(Operation::Find) {
        let found = provider.find(ask.reference, asked_at).await.unwrap();
        assert_eq!(
            found.map(|it| (it.provider_id, it.captured)),
            Some((made.provider_id.clone(), ask.amount))
        );
        assert_eq!(provider.find(Uuid::now_v7(), asked_at).await.unwrap(), None);
    }
    if provider.supports(Operation::List) {
        let page = provider.list_since(asked_at - TimeDelta::minutes(1), None).await.unwrap();
        let listed = page.items.iter().find(|it| it.provider_id == made.provider_id).unwrap();
        assert_eq!((listed.captured, page.next), (ask.amount, None));
        let later = provider.list_since(now() + TimeDelta::minutes(1), None).await.unwrap();
        assert!(later.items.is_empty());
    }
}

pub async fn one_payment_a_key(stub: &dyn Stub) {
    let provider = stub.provider();
    let ask = new_intent(stub, 2_500);
    let first = provider.create(&ask).await.unwrap();
    let again = join_all((0..5).map(|_| provider.create(&ask))).await;
    for intent in again {
        assert_eq!(intent.unwrap().provider_id, first.provider_id);
    }
    let other = NewIntent { amount: stub.sum(9_900), ..ask.clone() };
    let refused = provider.create(&other).await.unwrap_err();
    assert!(matches!(refused, ProviderError::Invalid { .. }), "{refused:?}");

    stub.payer_agrees(&first.provider_id);
    let twice = join_all((0..5).map(|_| finish(&*provider, &first))).await;
    for intent in twice {
        assert_eq!(intent.unwrap().captured, ask.amount);
    }
    assert_eq!(stub.taken(ask.reference), (2_500, 1));
}

pub async fn declined(stub: &dyn Stub) {
    let provider = stub.provider();
    let ask = new_intent(stub, 4_000);
    let made = provider.create(&ask).await.unwrap();
    stub.payer_is_declined(&made.provider_id);
    match finish(&*provider, &made).await {
        Ok(intent) => {
            assert!(intent.failure.is_some());
            assert!(matches!(intent.state, IntentState::AwaitingPayer | IntentState::Failed), "{intent:?}");
            assert_eq!(intent.captured, stub.sum(0));
        }
        Err(error) => assert!(matches!(error, ProviderError::Declined { .. }), "{error:?}"),
    }
    assert_eq!(stub.taken(ask.reference), (0, 0));
    let refund = provider.refund(&new_refund(stub, &made, 1_000)).await.unwrap_err();
    assert!(!refund.may_have_charged(), "{refund:?}");
}

pub async fn reserved(stub: &dyn Stub) {
    let provider = stub.provider();
    let ask = NewIntent { capture: CaptureMethod::Manual, ..new_intent(stub, 8_000) };
    if !provider.supports(Operation::Capture) {
        let before = stub.asked();
        assert!(is_unsupported(provider.create(&ask).await.err(), Operation::Capture));
        assert_eq!(stub.asked(), before);
        return;
    }
    let made = provider.create(&ask).await.unwrap();
    stub.payer_agrees(&made.provider_id);
    let reserved = finish(&*provider, &made).await.unwrap();
    assert_eq!((reserved.state, reserved.captured), (IntentState::Authorized, stub.sum(0)));
    assert_eq!(stub.taken(ask.reference), (0, 0));

    let key = IdempotencyKey::of(ask.reference, "capture");
    let part = Some(stub.sum(5_000));
    let wanted = if provider.supports(Operation::CapturePart) {
        part
    } else {
        let refused = provider.capture(&made.provider_id, part, &key).await.err();
        assert!(is_unsupported(refused, Operation::CapturePart));
        None
    };
    let amount = wanted.unwrap_or(ask.amount);
    let captured = provider.capture(&made.provider_id, wanted, &key).await.unwrap();
    assert_eq!((captured.state, captured.captured), (IntentState::Succeeded, amount));
    // Again with the same key: the same, or a word that it is done; never more money.
    let again = provider.capture(&made.provider_id, wanted, &key).await;
    assert!(!again.is_err_and(|error| error.may_have_charged()));
    assert_eq!(stub.taken(ask.reference), (amount.minor, 1));

    if provider.supports(Operation::Cancel) {
        let ask = NewIntent { capture: CaptureMethod::Manual, ..new_intent(stub, 3_000) };
        let made = provider.create(&ask).await.unwrap();
        stub.payer_agrees(&made.provider_id);
        finish(&*provider, &made).await.unwrap();
        let key = IdempotencyKey::of(ask.reference, "cancel");
        let canceled = provider.cancel(&made.provider_id, &key).await.unwrap();
        assert_eq!((canceled.state, canceled.captured), (IntentState::Canceled, stub.sum(0)));
        let late =
            provider.capture(&made.provider_id, None, &IdempotencyKey::of(ask.reference, "late")).await;
        assert!(matches!(late, Err(ProviderError::WrongState { .. })), "{late:?}");
    }
}

pub async fn given_back(stub: &dyn Stub) {
    let provider = stub.provider();
    let paid = pay(stub, &*provider, 10_000).await;
    let part = new_refund(stub, &paid, 4_000);
    assert_eq!(provider.find_refund(&part).await.unwrap(), None);
    let first = provider.refund(&part).await.unwrap();
    assert_eq!((first.amount, first.reference), (part.amount, Some(part.reference)));
    assert_ne!(first.state, RefundState::Failed);
    assert_eq!(provider.refund(&part).await.unwrap().provider_id, first.provider_id, "one refund a key");
    let found = provider.find_refund(&part).await.unwrap().unwrap();
    assert_eq!((found.provider_id, found.amount), (first.provider_id, part.amount));

    let too_much = provider.refund(&new_refund(stub, &paid, 6_001)).await.unwrap_err();
    assert!(matches!(too_much, ProviderError::Invalid { .. }), "{too_much:?}");
    assert_eq!(stub.given_back(paid.reference.unwrap()), (4_000, 1));

    provider.refund(&new_refund(stub, &paid, 6_000)).await.unwrap();
    let no_more = provider.refund(&new_refund(stub, &paid, 100)).await.unwrap_err();
    assert!(
        matches!(no_more, ProviderError::Invalid { .. } | ProviderError::WrongState { .. }),
        "{no_more:?}"
    );
    assert_eq!(stub.given_back(paid.reference.unwrap()), (10_000, 2));

    let read = provider.read(&paid.provider_id).await.unwrap();
    assert_eq!(
        (read.state, read.captured),
        (IntentState::Succeeded, paid.captured),
        "what was taken stays told"
    );
    if let Some(refunded) = read.refunded {
        assert_eq!(refunded, stub.sum(10_000));
        assert_eq!(read.refunds.len(), 2);
        assert!(read.refunds.iter().any(|refund| refund.reference == Some(part.reference)));
    } else {
        assert_eq!(provider.name(), ProviderName::PhonePe, "the only one that does not tell");
    }
    for odd in [0, -100] {
        let refused = provider.refund(&new_refund(stub, &paid, odd)).await;
        assert!(matches!(refused, Err(ProviderError::Invalid { .. })), "{odd}: {refused:?}");
    }
}

pub async fn unheard(stub: &dyn Stub) {
    let provider = stub.provider();
    for trouble in [Trouble::SilentAfter, Trouble::FailingAfter, Trouble::FailingBefore] {
        let ask = new_intent(stub, 7_000);
        stub.trouble(trouble);
        let error = provider.create(&ask).await.unwrap_err();
        assert!(
            error.is_passing() && !error.may_have_charged(),
            "nobody has paid yet: {trouble:?} {error:?}"
        );
        let made = provider.create(&ask).await.unwrap();
        stub.payer_agrees(&made.provider_id);
        let paid = finish(&*provider, &made).await.unwrap();
        assert_eq!(stub.taken(ask.reference), (7_000, 1));

        let refund = new_refund(stub, &paid, 2_000);
        stub.trouble(trouble);
        let error = provider.refund(&refund).await.unwrap_err();
        assert!(error.is_passing() && error.may_have_charged(), "{trouble:?} {error:?}");
        let found = provider.find_refund(&refund).await.unwrap();
        assert_eq!(found.is_some(), trouble != Trouble::FailingBefore, "{trouble:?}");
        provider.refund(&refund).await.unwrap();
        assert_eq!(stub.given_back(ask.reference), (2_000, 1), "{trouble:?}");
    }
    if provider.supports(Operation::Confirm) {
        confirm_unheard(stub, &*provider).await;
    }
    stub.trouble(Trouble::Busy);
    let busy = provider.create(&new_intent(stub, 7_000)).await.unwrap_err();
    assert_eq!(busy, ProviderError::RateLimited { retry_after: Some(Duration::from_secs(7)) });
}

/// The provider takes the money and says nothing: the same key finds out, and takes no more.
async fn confirm_unheard(stub: &dyn Stub, provider: &dyn PaymentProvider) {
    let made = provider.create(&new_intent(stub, 6_000)).await.unwrap();
    let mut confirm = confirmation(&made);
    match provider.name() {
        ProviderName::Stripe => confirm.method_id = Some("pm_card_visa".to_owned()),
        _ => stub.payer_agrees(&made.provider_id),
    }
    stub.trouble(Trouble::SilentAfter);
    let error = provider.confirm(&confirm).await.unwrap_err();
    assert!(error.may_have_charged(), "{error:?}");
    assert_eq!(stub.taken(made.reference.unwrap()), (6_000, 1));
    let again = provider.confirm(&confirm).await.unwrap();
    assert_eq!((again.state, again.captured), (IntentState::Succeeded, stub.sum(6_000)));
    assert_eq!(stub.taken(made.reference.unwrap()), (6_000, 1));
}

pub async fn refused(stub: &dyn Stub) {
    let stranger = stub.stranger();
    assert_eq!(stranger.create(&new_intent(stub, 5_000)).await, Err(ProviderError::Authentication));

    let provider = stub.provider();
    let unknown = match provider.name() {
        ProviderName::PhonePe => format!("p{}", Uuid::now_v7().simple()),
        _ => "unknown_1".to_owned(),
    };
    assert_eq!(provider.read(&unknown).await, Err(ProviderError::NotFound));
    let before = stub.asked();
    for odd in ["../refunds", "a/b", "a?b", ""] {
        let error = provider.read(odd).await.unwrap_err();
        assert!(matches!(error, ProviderError::Invalid { .. } | ProviderError::NotFound), "{odd}: {error:?}");
    }
    for odd in [0, -1] {
        let error = provider.create(&new_intent(stub, odd)).await.unwrap_err();
        assert!(matches!(error, ProviderError::Invalid { .. }), "{odd}: {error:?}");
    }
    assert_eq!(stub.asked(), before, "what cannot be right is not even sent");

    let shown = format!("{provider:?} {:?}", stranger.create(&new_intent(stub, 5_000)).await);
    for secret in ["sk_test", "honest_secret", "honest-secret", "099eb0cd", "whsec", "Bearer"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

pub async fn webhooks(stub: &dyn Stub) {
    let (provider, stranger) = (stub.provider(), stub.stranger());
    let paid = pay(stub, &*provider, 5_000).await;
    let at = now();
    let (headers, body) = stub.payment_webhook(&paid.provider_id, 1, at);

    // Right, again, and fifty at once: one event.
    let event = provider.verify_webhook(&headers, &body, at).await.unwrap();
    let at_once = join_all((0..50).map(|_| provider.verify_webhook(&headers, &body, at))).await;
    let ids: HashSet<_> = at_once.into_iter().map(|it| it.unwrap().event_id).collect();
    assert_eq!(ids, HashSet::from([event.event_id.clone()]));

    // Another one, and in the wrong order: each leads to what is so now.
    let (later_headers, later_body) = stub.payment_webhook(&paid.provider_id, 2, at);
    let later = provider.verify_webhook(&later_headers, &later_body, at).await.unwrap();
    assert_ne!(later.event_id, event.event_id);
    for subject in [&later.subject, &event.subject] {
        let read = provider.read_about(subject).await.unwrap();
        assert_eq!((read.provider_id, read.captured), (paid.provider_id.clone(), paid.captured));
    }
    assert_eq!(provider.read_about(&Subject::Nothing).await, Err(ProviderError::NotFound));

    // Wrong: changed on the way, signed for another, or not at all.
    let mut changed = body.clone();
    let place = changed.iter().rposition(u8::is_ascii_digit).unwrap();
    changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
    let refused = provider.verify_webhook(&headers, &changed, at).await;
    assert_eq!(refused, Err(WebhookError::WrongSignature));
    let for_another = stranger.verify_webhook(&headers, &body, at).await.unwrap_err();
    assert!(matches!(for_another, WebhookError::WrongSignature | WebhookError::Unchecked), "{for_another:?}");
    let unsigned = provider.verify_webhook(&http::HeaderMap::new(), &body, at).await;
    assert_eq!(unsigned, Err(WebhookError::NotSigned));
    let swapped = provider.verify_webhook(&later_headers, &body, at).await;
    assert_eq!(swapped, Err(WebhookError::WrongSignature));

    // Old: refused where a time is signed; where none is, it is the event that was told already.
    let old = provider.verify_webhook(&headers, &body, at + TimeDelta::hours(73)).await;
    match provider.name() {
        ProviderName::Stripe | ProviderName::PayPal => assert_eq!(old, Err(WebhookError::OutOfTime)),
        ProviderName::Razorpay | ProviderName::PhonePe => assert_eq!(old.unwrap().event_id, event.event_id),
    }
}

pub async fn disputes(stub: &dyn Stub) {
    let provider = stub.provider();
    let paid = pay(stub, &*provider, 5_000).await;
    let Some(dispute_id) = stub.dispute(&paid.provider_id) else {
        let before = stub.asked();
        assert!(is_unsupported(provider.read_dispute("any").await.err(), Operation::Disputes));
        assert_eq!(stub.asked(), before);
        return;
    };
    let at = now();
    let (headers, body) = stub.dispute_webhook(&dispute_id, at);
    let event = provider.verify_webhook(&headers, &body, at).await.unwrap();
    assert_eq!(event.subject, Subject::Dispute(dispute_id.clone()));

    let open = provider.read_dispute(&dispute_id).await.unwrap();
    assert_eq!((open.payment_id, open.amount), (paid.provider_id, paid.captured));
    assert_eq!(open.state, DisputeState::Open);
    assert!(open.reason.is_some());
    for (end, state) in [(Ending::Won, DisputeState::Won), (Ending::Lost, DisputeState::Lost)] {
        stub.dispute_ends(&dispute_id, end);
        assert_eq!(provider.read_dispute(&dispute_id).await.unwrap().state, state);
    }
}

pub async fn unsupported(stub: &dyn Stub) {
    let provider = stub.provider();
    let before = stub.asked();
    let id = Uuid::now_v7();
    let key = IdempotencyKey::of(id, "anything");
    let confirm =
        Confirm { provider_id: "x_1".to_owned(), method_id: None, return_url: None, key: key.clone() };
    let stored = PayWith::Stored { method_id: "m_1".to_owned() };
    let ask = NewIntent { pay_with: stored, ..new_intent(stub, 5_000) };
    let customer = NewCustomer { reference: id, name: None, email: None, key: key.clone() };
    for operation in [
        Operation::Find,
        Operation::Confirm,
        Operation::Cancel,
        Operation::ChargeStored,
        Operation::List,
        Operation::CreateCustomer,
        Operation::Methods,
        Operation::AttachMethod,
        Operation::Subscriptions,
        Operation::Disputes,
    ] {
        if provider.supports(operation) {
            continue;
        }
        let error = match operation {
            Operation::Find => provider.find(id, now()).await.err(),
            Operation::Confirm => provider.confirm(&confirm).await.err(),
            Operation::Cancel => provider.cancel("x_1", &key).await.err(),
            Operation::ChargeStored => provider.create(&ask).await.err(),
            Operation::List => provider.list_since(now(), None).await.err(),
            Operation::CreateCustomer => provider.create_customer(&customer).await.err(),
            Operation::Methods => provider.methods("c_1").await.err(),
            Operation::AttachMethod => provider.attach_method("c_1", "m_1").await.err(),
            Operation::Subscriptions => provider.read_subscription("s_1").await.err(),
            _ => provider.read_dispute("d_1").await.err(),
        };
        assert!(is_unsupported(error, operation), "{operation:?}");
    }
    assert_eq!(stub.asked(), before);
}

pub async fn methods(stub: &dyn Stub) {
    let provider = stub.provider();
    let reference = Uuid::now_v7();
    let key = IdempotencyKey::of(reference, "customer");
    let ask = NewCustomer {
        reference,
        name: Some("Payer".to_owned()),
        email: Some("payer@example.org".to_owned()),
        key,
    };
    let customer = match provider.create_customer(&ask).await {
        Ok(customer) => customer.provider_id,
        Err(error) => {
            assert!(is_unsupported(Some(error), Operation::CreateCustomer));
            "payer_1".to_owned()
        }
    };
    let method = match provider.attach_method(&customer, "pm_card_visa").await {
        Ok(method) => Some(method.provider_id),
        Err(error) => {
            assert!(is_unsupported(Some(error), Operation::AttachMethod));
            None
        }
    };
    if !provider.supports(Operation::Methods) {
        return;
    }
    let stored = provider.methods(&customer).await.unwrap();
    assert_eq!(
        (stored.len(), stored[0].kind.as_str(), stored[0].brand.as_deref()),
        (1, "card", Some("visa"))
    );
    assert_eq!(stored[0].expires, Some((8, 2031)));
    let method = method.unwrap_or_else(|| stored[0].provider_id.clone());
    assert_eq!(provider.detach_method("another_1", &method).await, Err(ProviderError::NotFound));

    if provider.supports(Operation::ChargeStored) {
        let pay_with = PayWith::Stored { method_id: method.clone() };
        let ask = NewIntent { pay_with, customer_id: Some(customer.clone()), ..new_intent(stub, 3_000) };
        stub.trouble(Trouble::SilentAfter);
        assert!(provider.create(&ask).await.unwrap_err().may_have_charged());
        let charged = provider.create(&ask).await.unwrap();
        assert_eq!((charged.state, charged.captured), (IntentState::Succeeded, ask.amount));
        assert_eq!(stub.taken(ask.reference), (3_000, 1));
    }
    provider.detach_method(&customer, &method).await.unwrap();
    assert!(provider.methods(&customer).await.unwrap().is_empty());

    let (known, status) = match provider.name() {
        ProviderName::Stripe => ("sub_known", SubscriptionStatus::PastDue),
        ProviderName::Razorpay => ("sub_known", SubscriptionStatus::Unpaid),
        ProviderName::PayPal => ("I-KNOWN", SubscriptionStatus::Paused),
        ProviderName::PhonePe => return,
    };
    let subscription = provider.read_subscription(known).await.unwrap();
    assert_eq!(subscription.status, status);
    assert!(subscription.period_end.is_some() && subscription.customer_id.is_some());
    assert_eq!(provider.read_subscription("sub_unknown").await, Err(ProviderError::NotFound));
}
