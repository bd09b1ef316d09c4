//! One suite that every provider's adapter passes, over a stand-in that checks what the real one checks.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod localstripe;
#[path = "../stubs/mod.rs"]
mod stubs;
mod suite;
mod walk;

use suite::*;

macro_rules! conforms {
    ($($provider:ident: $stub:ty;)*) => {$(
        mod $provider {
            use super::*;

            #[tokio::test]
            async fn a_payment_is_made_paid_and_found_again() {
                paid(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn the_same_key_is_one_payment() {
                one_payment_a_key(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn a_declined_payment_takes_nothing() {
                declined(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn what_is_reserved_is_captured_once_or_let_go() {
                reserved(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn a_payment_is_given_back_in_part_and_in_full_and_no_further() {
                given_back(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn an_answer_that_is_not_heard_is_no_second_payment_and_no_second_refund() {
                unheard(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn wrong_credentials_and_identifiers_are_told_apart() {
                refused(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn a_webhook_is_believed_if_it_is_signed_and_of_now() {
                webhooks(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn a_dispute_is_opened_and_closed_or_not_told_of() {
                disputes(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn what_it_cannot_do_is_said_and_not_sent() {
                unsupported(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn methods_belong_to_their_payer() {
                methods(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn an_invoice_is_paid_by_it_and_given_back() {
                walk::confirmed_and_given_back(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn what_it_tells_settles_an_invoice_without_the_payer() {
                walk::told_alone(&<$stub>::start().await).await;
            }

            #[tokio::test]
            async fn a_declined_payment_leaves_the_invoice_open() {
                walk::declined_and_refused(&<$stub>::start().await).await;
            }
        }
    )*};
}

conforms! {
    stripe: stubs::stripe::StripeStub;
    razorpay: stubs::razorpay::RazorpayStub;
    paypal: stubs::paypal::PayPalStub;
    phonepe: stubs::phonepe::PhonePeStub;
}

/// Razorpay first in India and PhonePe beside it, Stripe and PayPal elsewhere.
#[tokio::test]
async fn the_next_provider_is_asked_where_the_first_was_not_reached() {
    let (razorpay, phonepe) =
        (stubs::razorpay::RazorpayStub::start().await, stubs::phonepe::PhonePeStub::start().await);
    walk::passed_over(&razorpay, &phonepe).await;
    let (stripe, paypal) =
        (stubs::stripe::StripeStub::start().await, stubs::paypal::PayPalStub::start().await);
    walk::passed_over(&stripe, &paypal).await;
}

/// Two captures of one order answer one token: it is asked for once while it holds.
#[tokio::test]
async fn paypals_access_token_is_used_again() {
    let stub = stubs::paypal::PayPalStub::start().await;
    let provider = stubs::Stub::provider(&stub);
    for _ in 0..3 {
        provider.create(&new_intent(&stub, 1_000)).await.unwrap();
    }
    assert_eq!(stub.tokens_given(), 1);
}
