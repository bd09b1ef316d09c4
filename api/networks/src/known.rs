//! Every network that there is for a clinic, from cards and rows.

use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use gate::Problem;
use models::{Card, Registry};
use storage::db::Conn;
use storage::records::network::{NetworkName, States, StoredNetwork};

/// A network with what there is to say of it.
pub(crate) struct Known {
    pub(crate) card: Card,
    pub(crate) state: NetworkState,
    /// Its row, where it was added.
    pub(crate) row: Option<StoredNetwork>,
}

impl Known {
    /// The network, as states know it.
    pub(crate) fn name(&self) -> NetworkName {
        let Card { name, version, state, .. } = &self.card;
        NetworkName { name: name.clone(), version: version.clone(), by_card: *state }
    }
}

/// Every network, those that are always there first, with their states in the clinic or for all.
///
/// An added network whose card this program does not read is left out.
pub(crate) async fn all(
    db: &mut Conn,
    registry: &Registry,
    clinic: Option<ClinicId>,
) -> Result<Vec<Known>, Problem> {
    let mut known: Vec<Known> =
        registry.iter().map(|card| Known { card: card.clone(), state: card.state, row: None }).collect();
    for row in StoredNetwork::all(db).await? {
        let Ok(card) = Card::parse(&row.card) else { continue };
        if registry.get_version(&card.name, &card.version).is_none() {
            // A network that was added is a draft until somebody says otherwise, whatever its card says.
            let card = Card { state: NetworkState::Draft, ..card };
            known.push(Known { state: card.state, card, row: Some(row) });
        }
    }
    let names: Vec<NetworkName> = known.iter().map(Known::name).collect();
    let states = States::of(db, clinic).await?.resolve(&names);
    for (network, state) in known.iter_mut().zip(states) {
        network.state = state;
    }
    Ok(known)
}

/// The version that is meant: this one, else the one that came last.
///
/// # Errors
///
/// 404 where there is none.
pub(crate) fn meant<'k>(known: &'k [Known], name: &str, version: Option<&str>) -> Result<&'k Known, Problem> {
    let is_it =
        |it: &&Known| it.card.name == name && version.is_none_or(|version| it.card.version == version);
    known.iter().rfind(is_it).ok_or_else(Problem::not_found)
}
