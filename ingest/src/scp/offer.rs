//! Which presentation context an instance is sent over.

use clinical::uid::TransferSyntaxUid;

use super::identifier::is_written_in;
use super::negotiation::Context;
use super::query::{Outgoing, Retrieval};

/// A presentation context over which instances can be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'c> {
    pub(crate) id: u8,
    pub(crate) sop_class: &'c str,
    pub(crate) transfer_syntax: &'c TransferSyntaxUid,
}

impl<'c> Offer<'c> {
    pub(crate) fn of(context: &'c Context) -> Self {
        Self {
            id: context.id,
            sop_class: context.sop_class.as_str(),
            transfer_syntax: &context.transfer_syntax,
        }
    }
}

/// The context for an instance: in its stored transfer syntax, else uncompressed, else in any that it can be written in.
pub(crate) fn choose<'c, R: Retrieval>(
    offers: impl Iterator<Item = Offer<'c>>,
    retrieval: &R,
    instance: &Outgoing,
) -> Option<Offer<'c>> {
    let rank = |offer: &Offer<'_>| match offer.transfer_syntax {
        syntax if *syntax == instance.transfer_syntax => 0,
        syntax if is_written_in(syntax.as_str()) => 1,
        _ => 2,
    };
    offers
        .filter(|offer| offer.sop_class == instance.sop_class.as_str())
        .filter(|offer| rank(offer) == 0 || retrieval.can_give(instance, offer.transfer_syntax))
        .min_by_key(rank)
}
