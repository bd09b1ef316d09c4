//! Cards for the networks that the tests make.

use sha2::{Digest, Sha256};

/// The sides of what such a network takes.
pub const SIDES: [i64; 4] = [1, 1, 9, 7];

/// The card of two classes by a child's chest of 9 rows and 7 columns, for these weights.
pub fn card_of(name: &str, weights: &[u8], time_limit_ms: i64, memory_limit_mib: i64) -> String {
    let card = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cards/pneumonia28.toml");
    let mut card: toml::Table = std::fs::read_to_string(card).unwrap().parse().unwrap();
    let hash: String = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
    card.insert("name".into(), name.into());
    card.insert("sha256".into(), hash.into());
    card["input"]["shape"] = toml::Value::Array(SIDES.map(toml::Value::Integer).to_vec());
    let outputs = card["outputs"].as_table_mut().unwrap();
    outputs.remove("cam");
    outputs.remove("embedding");
    card.remove("out_of_distribution");
    let mut limits = toml::Table::new();
    limits.insert("time_limit_ms".into(), time_limit_ms.into());
    limits.insert("memory_limit_mib".into(), memory_limit_mib.into());
    card.insert("run".into(), limits.into());
    toml::to_string(&card).unwrap()
}
