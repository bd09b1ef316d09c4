//! What a provider says of a payment, joined to what was known: whatever comes in which order, the same is known at the end.
//!
//! Each part of what is known only grows: a status by its rank, the captured sum to the larger one, a refund or dispute
//! by its identifier and rank. Such a join is the same in every order and when it is told twice.

use chrono::{DateTime, Utc};
use clinical::id::{DisputeId, RefundId};

use crate::payment::{Payment, PaymentStatus};
use crate::provider::{self, NextStep};
use crate::returned::{Dispute, DisputeStatus, Refund, RefundStatus};

/// All that is known of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The payment itself.
    pub payment: Payment,
    /// What of it goes back.
    pub refunds: Vec<Refund>,
    /// What of it is disputed.
    pub disputes: Vec<Dispute>,
}

/// The provider speaks of another payment than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Of another currency.
    #[error("the provider tells of another currency")]
    Currency,
    /// Of a sum that is not above zero.
    #[error("the provider tells of a sum below zero")]
    Sum,
    /// Under another name than before.
    #[error("the provider tells of another payment")]
    Name,
}

impl Progress {
    /// Joins what the provider says of the payment.
    ///
    /// # Errors
    ///
    /// [`Mismatch`]; nothing is joined then.
    pub fn join(&mut self, told: &provider::Intent, now: DateTime<Utc>) -> Result<(), Mismatch> {
        let payment = &mut self.payment;
        if told.captured.currency != payment.currency {
            return Err(Mismatch::Currency);
        }
        if told.captured.minor < 0 || told.refunds.iter().any(|it| it.amount.minor < 0) {
            return Err(Mismatch::Sum);
        }
        if payment.provider_ref.as_ref().is_some_and(|known| *known != told.provider_id) {
            return Err(Mismatch::Name);
        }
        payment.provider_ref = Some(told.provider_id.clone());
        payment.status = payment.status.max(told.state.into());
        if let Some(NextStep::Redirect(url)) = &told.next {
            payment.payer_url = Some(url.clone());
        }
        payment.captured_minor = payment.captured_minor.max(told.captured.minor);
        if payment.status == PaymentStatus::Failed {
            payment.failure = told.failure.clone().or(payment.failure.take());
        }
        if payment.captured_minor > 0 && payment.settled_at.is_none() {
            payment.settled_at = Some(now);
        }
        for refund in &told.refunds {
            self.join_refund(refund, now);
        }
        self.sum_up();
        Ok(())
    }

    /// Joins what the provider says of a refund.
    pub fn join_refund(&mut self, told: &provider::Refund, now: DateTime<Utc>) {
        let is_it = |known: &&mut Refund| {
            known.provider_ref.as_deref() == Some(told.provider_id.as_str())
                || (known.provider_ref.is_none() && told.reference == Some(known.refund_id.0))
        };
        let status = RefundStatus::from(told.state);
        match self.refunds.iter_mut().find(is_it) {
            Some(known) => {
                known.provider_ref = Some(told.provider_id.clone());
                known.status = known.status.max(status);
                known.amount_minor = told.amount.minor;
            }
            None => self.refunds.push(Refund {
                refund_id: RefundId::new(),
                payment_id: self.payment.payment_id,
                provider_ref: Some(told.provider_id.clone()),
                status,
                amount_minor: told.amount.minor,
                currency: self.payment.currency,
                reason: None,
                created_by: self.payment.provider.to_string(),
                created_at: now,
            }),
        }
        self.sum_up();
    }

    /// Joins what the provider says of a dispute.
    ///
    /// # Errors
    ///
    /// [`Mismatch`]; nothing is joined then.
    pub fn join_dispute(&mut self, told: &provider::Dispute, now: DateTime<Utc>) -> Result<(), Mismatch> {
        if told.amount.currency != self.payment.currency {
            return Err(Mismatch::Currency);
        }
        if told.amount.minor < 0 {
            return Err(Mismatch::Sum);
        }
        let status = DisputeStatus::from(told.state);
        let closed_at = (status != DisputeStatus::Open).then_some(now);
        match self.disputes.iter_mut().find(|known| known.provider_ref == told.provider_id) {
            Some(known) => {
                known.status = known.status.max(status);
                known.amount_minor = known.amount_minor.max(told.amount.minor);
                known.closed_at = known.closed_at.or(closed_at);
            }
            None => self.disputes.push(Dispute {
                dispute_id: DisputeId::new(),
                payment_id: self.payment.payment_id,
                provider_ref: told.provider_id.clone(),
                status,
                amount_minor: told.amount.minor,
                currency: self.payment.currency,
                reason: told.reason.clone(),
                opened_at: now,
                closed_at,
            }),
        }
        self.sum_up();
        Ok(())
    }

    /// Brings the payment's sums to what its refunds and disputes say.
    pub(crate) fn sum_up(&mut self) {
        let given_back = self
            .refunds
            .iter()
            .filter(|it| matches!(it.status, RefundStatus::Pending | RefundStatus::Succeeded));
        self.payment.refunded_minor = given_back.map(|it| it.amount_minor).sum();
        let held = |status| self.disputes.iter().filter(move |it| it.status == status);
        self.payment.disputed_minor = held(DisputeStatus::Open).map(|it| it.amount_minor).sum();
        self.payment.lost_minor = held(DisputeStatus::Lost).map(|it| it.amount_minor).sum();
    }

    /// What could still be given back: what has come in, less what goes back or was asked to, is held or lost.
    pub fn refundable_minor(&self) -> i64 {
        let asked = self.refunds.iter().filter(|it| it.status != RefundStatus::Failed);
        let asked: i64 = asked.map(|it| it.amount_minor).sum();
        (self.payment.captured_minor - asked - self.payment.disputed_minor - self.payment.lost_minor).max(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clinical::id::PaymentId;
    use clinical::money::Money;
    use proptest::prelude::*;

    use super::*;
    use crate::books::balances;
    use crate::provider::{DisputeState, Intent, IntentState, ProviderName, RefundState};

    fn money(minor: i64) -> Money {
        Money::new(minor, "USD".parse().unwrap())
    }

    fn asked() -> Progress {
        let payment = Payment {
            payment_id: PaymentId(uuid::Uuid::nil()),
            invoice_id: None,
            customer_id: None,
            patient_id: None,
            method_id: None,
            provider: ProviderName::Stripe,
            provider_ref: None,
            status: PaymentStatus::Asked,
            currency: "USD".parse().unwrap(),
            amount_minor: 1_000,
            captured_minor: 0,
            refunded_minor: 0,
            disputed_minor: 0,
            lost_minor: 0,
            description: String::new(),
            captures_later: false,
            return_url: None,
            failure: None,
            created_by: String::new(),
            created_at: DateTime::UNIX_EPOCH,
            changed_at: DateTime::UNIX_EPOCH,
            settled_at: None,
            confirmed_at: None,
            payer_url: None,
        };
        Progress { payment, refunds: Vec::new(), disputes: Vec::new() }
    }

    fn intent(state: IntentState, captured: i64, refunds: Vec<provider::Refund>) -> Intent {
        Intent {
            provider_id: "pi_1".into(),
            reference: None,
            state,
            amount: money(1_000),
            captured: money(captured),
            refunded: None,
            refunds,
            next: None,
            failure: None,
            method_id: None,
            created_at: None,
        }
    }

    fn refund(number: u8, amount: i64, state: RefundState) -> provider::Refund {
        provider::Refund {
            provider_id: format!("re_{number}"),
            reference: None,
            amount: money(amount),
            state,
        }
    }

    fn dispute(state: DisputeState) -> provider::Dispute {
        provider::Dispute {
            provider_id: "dp_1".into(),
            payment_id: "pi_1".into(),
            amount: money(400),
            state,
            reason: None,
        }
    }

    #[test]
    fn a_late_word_of_an_earlier_state_changes_nothing() {
        let mut known = asked();
        known.join(&intent(IntentState::Succeeded, 1_000, vec![]), DateTime::UNIX_EPOCH).unwrap();
        let settled = known.clone();
        for late in [IntentState::AwaitingPayer, IntentState::Processing, IntentState::Failed] {
            known.join(&intent(late, 0, vec![]), DateTime::UNIX_EPOCH).unwrap();
            assert_eq!(known, settled);
        }
    }

    #[test]
    fn another_currency_name_or_a_sum_below_zero_is_not_ours() {
        let mut known = asked();
        let yen = Intent {
            captured: Money::new(1, "JPY".parse().unwrap()),
            ..intent(IntentState::Succeeded, 1, vec![])
        };
        assert_eq!(known.join(&yen, DateTime::UNIX_EPOCH), Err(Mismatch::Currency));
        assert_eq!(
            known.join(&intent(IntentState::Succeeded, -1, vec![]), DateTime::UNIX_EPOCH),
            Err(Mismatch::Sum)
        );
        assert_eq!(known, asked());
        known.join(&intent(IntentState::Processing, 0, vec![]), DateTime::UNIX_EPOCH).unwrap();
        let other = Intent { provider_id: "pi_2".into(), ..intent(IntentState::Succeeded, 1_000, vec![]) };
        assert_eq!(known.join(&other, DateTime::UNIX_EPOCH), Err(Mismatch::Name));
    }

    #[test]
    fn a_refund_that_was_asked_counts_against_what_is_left_before_it_is_done() {
        let mut known = asked();
        known.join(&intent(IntentState::Succeeded, 1_000, vec![]), DateTime::UNIX_EPOCH).unwrap();
        known.refunds.push(Refund {
            refund_id: RefundId::new(),
            payment_id: known.payment.payment_id,
            provider_ref: None,
            status: RefundStatus::Asked,
            amount_minor: 700,
            currency: known.payment.currency,
            reason: None,
            created_by: String::new(),
            created_at: DateTime::UNIX_EPOCH,
        });
        assert_eq!((known.refundable_minor(), known.payment.refunded_minor), (300, 0));
        known.refunds[0].status = RefundStatus::Failed;
        assert_eq!(known.refundable_minor(), 1_000);
    }

    /// What can be told of one payment, by any webhook or read.
    #[derive(Debug, Clone)]
    enum Told {
        Intent(Intent),
        Refund(provider::Refund),
        Dispute(provider::Dispute),
    }

    fn told() -> impl Strategy<Value = Told> {
        let state = prop_oneof![
            Just(IntentState::AwaitingPayer),
            Just(IntentState::Processing),
            Just(IntentState::Failed),
            Just(IntentState::Authorized),
            Just(IntentState::Canceled),
            Just(IntentState::Succeeded),
        ];
        let refund_state =
            prop_oneof![Just(RefundState::Pending), Just(RefundState::Succeeded), Just(RefundState::Failed)];
        let refunds = (0..3_u8, refund_state)
            .prop_map(|(number, state)| refund(number, 100 + i64::from(number), state));
        let disputed = prop_oneof![
            Just(DisputeState::Open),
            Just(DisputeState::Won),
            Just(DisputeState::Lost),
            Just(DisputeState::Closed)
        ];
        prop_oneof![
            (state, 0..=1_000_i64, prop::collection::vec(refunds.clone(), 0..3))
                .prop_map(|(state, captured, refunds)| Told::Intent(intent(state, captured, refunds))),
            refunds.prop_map(Told::Refund),
            disputed.prop_map(|state| Told::Dispute(dispute(state))),
        ]
    }

    /// What must be the same at the end, in whichever order it was told.
    fn end_of(
        order: &[Told],
    ) -> (PaymentStatus, [i64; 4], BTreeMap<String, RefundStatus>, Vec<DisputeStatus>) {
        let mut known = asked();
        for told in order {
            match told {
                Told::Intent(intent) => known.join(intent, DateTime::UNIX_EPOCH).unwrap(),
                Told::Refund(refund) => known.join_refund(refund, DateTime::UNIX_EPOCH),
                Told::Dispute(dispute) => known.join_dispute(dispute, DateTime::UNIX_EPOCH).unwrap(),
            }
        }
        let booked = balances(None, &[known.payment.as_booked()]);
        assert_eq!(booked.values().sum::<i64>(), 0);
        let it = &known.payment;
        let sums = [it.captured_minor, it.refunded_minor, it.disputed_minor, it.lost_minor];
        let refunds = known.refunds.iter().map(|it| (it.provider_ref.clone().unwrap(), it.status)).collect();
        (it.status, sums, refunds, known.disputes.iter().map(|it| it.status).collect())
    }

    proptest! {
        #[test]
        fn no_order_and_no_repetition_of_what_is_told_changes_the_end(
            (all, shuffled) in prop::collection::vec(told(), 1..12)
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            again in any::<prop::sample::Index>(),
        ) {
            let end = end_of(&all);
            prop_assert_eq!(&end_of(&shuffled), &end);
            let mut repeated = shuffled.clone();
            repeated.insert(0, shuffled[again.index(shuffled.len())].clone());
            prop_assert_eq!(&end_of(&repeated), &end);
        }
    }
}
