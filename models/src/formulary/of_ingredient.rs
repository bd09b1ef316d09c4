//! What concerns each ingredient: the rules that speak of it, by their places.

use super::{Class, Contraindication, Interaction, Limit, Set};

/// What concerns one ingredient.
#[derive(Debug, Clone, Default)]
pub(super) struct OfIngredient {
    pub(super) a_of: Set,
    pub(super) b_of: Set,
    pub(super) contraindications: Vec<u16>,
    pub(super) pregnancy: Vec<u16>,
    pub(super) ages: Vec<u16>,
    pub(super) duplicates: Vec<u16>,
    pub(super) limit: Option<Limit>,
}

/// What concerns each ingredient, as far as it goes by sets.
pub(super) fn of_ingredients(
    count: usize,
    classes: &[Class],
    interactions: &[Interaction],
    contraindications: &[Contraindication],
) -> Vec<OfIngredient> {
    let mut of = vec![OfIngredient::default(); count];
    for (rule, interaction) in (0..).zip(interactions) {
        interaction.a.members().for_each(|drug| of[usize::from(drug)].a_of.add(rule));
        interaction.b.members().for_each(|drug| of[usize::from(drug)].b_of.add(rule));
    }
    for (rule, contraindication) in (0..).zip(contraindications) {
        contraindication.drugs.members().for_each(|drug| of[usize::from(drug)].contraindications.push(rule));
    }
    for (at, class) in (0..).zip(classes).filter(|(_, class)| class.duplicate.is_some()) {
        class.members.members().for_each(|drug| of[usize::from(drug)].duplicates.push(at));
    }
    of
}

/// Rules of a pregnancy that speak of a drug: by its name, and by its class.
#[derive(Debug, Clone, Default)]
pub(super) struct Speaks {
    pub(super) by_name: Vec<u16>,
    pub(super) by_class: Vec<u16>,
}

impl Speaks {
    /// Those that speak by name where there are any, else those that speak by class.
    pub(super) fn chosen(self) -> Vec<u16> {
        if self.by_name.is_empty() { self.by_class } else { self.by_name }
    }
}
