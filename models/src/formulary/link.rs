//! From ids to indices: the files' entries become tables.

use std::collections::HashMap;

use clinical::decision::IssueSeverity;
use serde::de::DeserializeOwned;

use super::dose::WrittenRegimen;
use super::names::{Named, Names, plain};
use super::of_ingredient::{Speaks, of_ingredients};
use super::written::{
    WrittenAgeRule, WrittenAllergyGroup, WrittenClass, WrittenCombination, WrittenConditionGroup,
    WrittenContraindication, WrittenCrossReaction, WrittenInPregnancy, WrittenIngredient, WrittenInteraction,
    WrittenRecommendation,
};
use super::{
    AgeRule, AllergyGroup, Class, Combination, ConditionGroup, Contraindication, CrossReaction, ESTIMATED,
    Formulary, InPregnancy, Ingredient, IngredientIx, Interaction, Limit, Recommendation, Regimen, Set,
    Words,
};
use crate::KnowledgeError;
use crate::knowledge::Files;
use crate::knowledge::check::Faults;
use crate::knowledge::link::{Entries, once, read};
use crate::source::{Reference, WrittenSource};

/// Classes may name classes to this depth.
const DEEPEST: usize = 4;
/// A class that is a member of another is written so.
const WHOLE_CLASS: char = '@';

impl Formulary {
    pub(super) fn of(files: &Files) -> Result<Self, KnowledgeError> {
        let mut faults = Faults::default();
        let faults = &mut faults;
        let ((ingredients, classes), (interactions, contraindications)) = rayon::join(
            || {
                (
                    entries::<WrittenIngredient>(files, "ingredients"),
                    entries::<WrittenClass>(files, "classes"),
                )
            },
            || (entries::<WrittenInteraction>(files, "interactions"), entries(files, "contraindications")),
        );
        let ingredients = taken(ingredients?, faults);
        let classes = taken(classes?, faults);
        let sources = taken(entries::<WrittenSource>(files, "sources")?, faults);
        let mut link = Link::new(&ingredients, &sources, faults);
        let classes = link.classes(classes);
        link.class_of = classes.iter().map(|class| (class.id.clone(), class.members.clone())).collect();
        let interactions = taken(interactions?, link.faults);
        let interactions = link.interactions(interactions);
        let contraindications = taken(contraindications?, link.faults);
        let conditions = taken(entries(files, "conditions")?, link.faults);
        let (conditions, contraindications) = link.contraindications(conditions, contraindications);
        let pregnancy = taken(entries(files, "pregnancy")?, link.faults);
        let (pregnancy, speaks) = link.pregnancy(pregnancy);
        let ages = taken(entries(files, "ages")?, link.faults);
        let (ages, of_ages) = link.ages(ages);
        let allergies = taken(entries(files, "allergies")?, link.faults);
        let (allergies, allergy_of) = link.allergies(allergies);
        let cross_reactions = taken(entries(files, "cross_reactions")?, link.faults);
        let cross_reactions = link.cross_reactions(cross_reactions);
        let limits = taken(entries(files, "limits")?, link.faults);
        let limits = link.limits(limits);
        let regimens = taken(entries(files, "regimens")?, link.faults);
        let regimens = link.regimens(regimens);
        let recommendations = taken(entries(files, "recommendations")?, link.faults);
        let recommendations = link.recommendations(recommendations, &regimens);
        let combinations = taken(entries(files, "combinations")?, link.faults);
        let (names, combinations) = link.names(&ingredients, combinations);

        let mut of_ingredient =
            of_ingredients(ingredients.len(), &classes, &interactions, &contraindications);
        for (at, speaks) in speaks.into_iter().enumerate() {
            of_ingredient[at].pregnancy = speaks.chosen();
        }
        for (rule, drugs) in (0..).zip(&of_ages) {
            for drug in drugs.members() {
                of_ingredient[usize::from(drug)].ages.push(rule);
            }
        }
        for (drug, limit) in limits {
            of_ingredient[drug.at()].limit = Some(limit);
        }
        let ingredient_of = std::mem::take(&mut link.ingredient_of);
        if !faults.0.is_empty() {
            return Err(KnowledgeError::Faults(std::mem::take(&mut faults.0)));
        }
        let ingredients = ingredients.into_iter().map(|(id, (_, written))| ingredient(id, written)).collect();
        Ok(Self {
            ingredients,
            classes,
            combinations,
            interactions,
            contraindications,
            conditions,
            pregnancy,
            ages,
            allergies,
            cross_reactions,
            regimens,
            recommendations,
            of_ingredient,
            ingredient_of,
            allergy_of,
            names,
            version: files.version(),
        })
    }
}

/// The entries of a folder below `drugs/`, file by file.
type Read<T> = Vec<(String, std::collections::BTreeMap<String, T>)>;

fn entries<T: DeserializeOwned + Send>(files: &Files, folder: &str) -> Result<Read<T>, KnowledgeError> {
    read(files, &format!("drugs/{folder}"))
}

/// All entries together; one too many of a kind is a fault, as one that stands twice is.
fn taken<T>(read: Read<T>, faults: &mut Faults) -> Entries<T> {
    let entries = once(read, faults);
    if entries.len() > usize::from(u16::MAX) {
        faults.add("drugs", "", "holds at most 65535 entries of a kind");
        return Entries::new();
    }
    entries
}

fn ingredient(id: String, written: WrittenIngredient) -> Ingredient {
    let WrittenIngredient { name, rxcui, also, brands } = written;
    Ingredient { id, name, rxcui, also, brands }
}

/// What turns ids into indices, and notes those that are none.
struct Link<'a> {
    ingredient_of: HashMap<String, IngredientIx>,
    class_of: HashMap<String, Set>,
    sources: &'a Entries<WrittenSource>,
    faults: &'a mut Faults,
}

impl<'a> Link<'a> {
    fn new(
        ingredients: &Entries<WrittenIngredient>,
        sources: &'a Entries<WrittenSource>,
        faults: &'a mut Faults,
    ) -> Self {
        if ingredients.is_empty() {
            faults.add("drugs/ingredients", "", "holds no ingredient");
        }
        for (id, (file, source)) in sources {
            if source.reference().is_none() {
                faults.add(
                    file,
                    id,
                    "needs what it says, when it was looked up, and one of doi, pmid, isbn, url",
                );
            }
        }
        let ingredient_of = ingredients.keys().cloned().zip((0..).map(IngredientIx)).collect();
        Self { ingredient_of, class_of: HashMap::new(), sources, faults }
    }

    fn classes(&mut self, written: Entries<WrittenClass>) -> Vec<Class> {
        let mut classes = Vec::new();
        for (id, (file, class)) in &written {
            if self.ingredient_of.contains_key(id) {
                self.faults.add(file, id, "is an ingredient too; an id has one meaning");
            }
            let mut members = Set::default();
            self.gather(&written, (file, id), &class.members, DEEPEST, &mut members);
            if members.is_empty() {
                self.faults.add(file, id, "has no members");
            }
            classes.push(Class {
                id: id.clone(),
                name: class.name.clone(),
                duplicate: class.duplicate,
                members,
            });
        }
        classes
    }

    fn gather(
        &mut self,
        written: &Entries<WrittenClass>,
        place: (&str, &str),
        members: &[String],
        depth: usize,
        into: &mut Set,
    ) {
        for member in members {
            if let Some(class) = member.strip_prefix(WHOLE_CLASS) {
                match written.get(class) {
                    Some((_, class)) if depth > 0 => {
                        self.gather(written, place, &class.members, depth - 1, into)
                    }
                    Some(_) => {
                        self.faults.add(place.0, place.1, format!("«{class}» lies too deep, or in a circle"))
                    }
                    None => self.faults.add(place.0, place.1, format!("«{class}» is no class")),
                }
            } else if let Some(drug) = self.ingredient_of.get(member) {
                into.add(drug.0);
            } else {
                self.faults.add(place.0, place.1, format!("«{member}» is no ingredient"));
            }
        }
    }

    /// The drugs that ids of ingredients and classes name; none is a fault.
    fn drugs(&mut self, place: (&str, &str), ids: &[String]) -> Set {
        let mut set = Set::default();
        for id in ids {
            if let Some(drug) = self.ingredient_of.get(id) {
                set.add(drug.0);
            } else if let Some(members) = self.class_of.get(id) {
                set.add_all(members);
            } else {
                self.faults.add(place.0, place.1, format!("«{id}» is neither an ingredient nor a class"));
            }
        }
        if set.is_empty() {
            self.faults.add(place.0, place.1, "speaks of no drug");
        }
        set
    }

    fn source(&mut self, place: (&str, &str), id: Option<String>) -> String {
        let Some(id) = id else { return ESTIMATED.to_owned() };
        let Some((_, source)) = self.sources.get(&id) else {
            self.faults.add(place.0, place.1, format!("«{id}» is no source"));
            return ESTIMATED.to_owned();
        };
        match source.reference() {
            Some(Reference::Number(text) | Reference::Page(text)) => text,
            None => id,
        }
    }

    fn words(
        &mut self,
        place: (&str, &str),
        (severity, mechanism, management, source): (IssueSeverity, String, String, Option<String>),
    ) -> Words {
        if mechanism.is_empty() || management.is_empty() {
            self.faults.add(place.0, place.1, "needs a mechanism and what to do");
        }
        let source = self.source(place, source);
        Words { id: place.1.to_owned(), severity, mechanism, management, source }
    }

    fn interactions(&mut self, written: Entries<WrittenInteraction>) -> Vec<Interaction> {
        let mut abouts = HashMap::new();
        let mut interactions = Vec::new();
        for (id, (file, rule)) in written {
            let place = (file.as_str(), id.as_str());
            let (a, b) = (self.drugs(place, &rule.a), self.drugs(place, &rule.b));
            let next = abouts.len() as u16;
            let about = *abouts.entry(rule.about).or_insert(next);
            let words = self.words(place, (rule.severity, rule.mechanism, rule.management, rule.source));
            interactions.push(Interaction { words, about, a, b });
        }
        interactions
    }

    /// Groups of conditions, with one more for each condition that a rule names itself; and the rules.
    fn contraindications(
        &mut self,
        groups: Entries<WrittenConditionGroup>,
        written: Entries<WrittenContraindication>,
    ) -> (Vec<ConditionGroup>, Vec<Contraindication>) {
        let mut group_of: HashMap<String, u16> = groups.keys().cloned().zip(0..).collect();
        let mut conditions: Vec<_> = groups
            .into_iter()
            .map(|(id, (_, group))| ConditionGroup { id, name: group.name, ids: group.ids, says: group.says })
            .collect();
        let mut rules = Vec::new();
        for (id, (file, rule)) in written {
            let place = (file.as_str(), id.as_str());
            if rule.conditions.is_empty() && rule.egfr_below.is_none() && rule.child_pugh_from.is_none() {
                self.faults.add(place.0, place.1, "names nothing that would bring it about");
            }
            let mut of = Vec::new();
            for condition in rule.conditions {
                let next = conditions.len() as u16;
                let at = *group_of.entry(condition.clone()).or_insert(next);
                if at == next {
                    let (id, name) = (condition.clone(), condition.replace('-', " "));
                    conditions.push(ConditionGroup { id, name, ids: vec![condition], says: Vec::new() });
                }
                of.push(at);
            }
            rules.push(Contraindication {
                drugs: self.drugs(place, &rule.drugs),
                words: self.words(place, (rule.severity, rule.mechanism, rule.management, rule.source)),
                conditions: of,
                egfr_below: rule.egfr_below,
                child_pugh_from: rule.child_pugh_from,
                age_from: rule.age_from,
                age_below: rule.age_below,
                is_local: rule.local,
            });
        }
        (conditions, rules)
    }

    fn pregnancy(&mut self, written: Entries<WrittenInPregnancy>) -> (Vec<InPregnancy>, Vec<Speaks>) {
        let mut speaks = vec![Speaks::default(); self.ingredient_of.len()];
        let mut rules = Vec::new();
        for (at, (id, (file, rule))) in (0..).zip(written) {
            let place = (file.as_str(), id.as_str());
            for named in &rule.drugs {
                let by_name = self.ingredient_of.contains_key(named);
                for drug in self.drugs(place, std::slice::from_ref(named)).members() {
                    let speaks = &mut speaks[usize::from(drug)];
                    let list = if by_name { &mut speaks.by_name } else { &mut speaks.by_class };
                    if !list.contains(&at) {
                        list.push(at);
                    }
                }
            }
            let source = self.source(place, rule.source);
            rules.push(InPregnancy {
                id,
                trimesters: [rule.first, rule.second, rule.third],
                lactation: rule.lactation,
                mechanism: rule.mechanism,
                management: rule.management,
                source,
            });
        }
        (rules, speaks)
    }

    fn ages(&mut self, written: Entries<WrittenAgeRule>) -> (Vec<AgeRule>, Vec<Set>) {
        let mut rules = Vec::new();
        let mut of = Vec::new();
        for (id, (file, rule)) in written {
            let place = (file.as_str(), id.as_str());
            if rule.below.is_some() == rule.from.is_some() {
                self.faults.add(place.0, place.1, "needs one of below and from");
            }
            of.push(self.drugs(place, &rule.drugs));
            let words = self.words(place, (rule.severity, rule.mechanism, rule.management, rule.source));
            rules.push(AgeRule { words, below: rule.below, from: rule.from });
        }
        (rules, of)
    }

    fn allergies(
        &mut self,
        written: Entries<WrittenAllergyGroup>,
    ) -> (Vec<AllergyGroup>, HashMap<String, u16>) {
        let mut groups = Vec::new();
        let mut of = HashMap::new();
        for (at, (id, (file, group))) in (0..).zip(written) {
            let place = (file.as_str(), id.as_str());
            let drugs = if group.drugs.is_empty() { Set::default() } else { self.drugs(place, &group.drugs) };
            for words in group.says.iter().chain([&group.name, &id]) {
                if of.insert(plain(words), at).is_some_and(|before| before != at) {
                    self.faults.add(place.0, place.1, format!("«{words}» means another allergy too"));
                }
            }
            groups.push(AllergyGroup { id, name: group.name, drugs });
        }
        (groups, of)
    }

    fn cross_reactions(&mut self, written: Entries<WrittenCrossReaction>) -> Vec<CrossReaction> {
        let mut rules = Vec::new();
        for (id, (file, rule)) in written {
            let place = (file.as_str(), id.as_str());
            let (from, to) = (self.drugs(place, &rule.from), self.drugs(place, &rule.to));
            let words = self.words(place, (rule.severity, rule.mechanism, rule.management, rule.source));
            rules.push(CrossReaction { words, share: rule.share, from, to });
        }
        rules
    }

    fn limits(&mut self, written: Entries<Limit>) -> Vec<(IngredientIx, Limit)> {
        let mut limits = Vec::new();
        for (id, (file, limit)) in written {
            let Some(&drug) = self.ingredient_of.get(&id) else {
                self.faults.add(&file, &id, "is no ingredient");
                continue;
            };
            let child = limit.child.map(|child| (child.single_mg_kg, child.daily_mg_kg));
            let pairs = [Some((limit.single_mg, limit.daily_mg)), child];
            if pairs.into_iter().flatten().any(|(single, daily)| !(single > 0.0 && daily > 0.0)) {
                self.faults.add(&file, &id, "needs doses above 0");
            }
            limits.push((drug, limit));
        }
        limits
    }

    fn regimens(&mut self, written: Entries<WrittenRegimen>) -> Vec<Regimen> {
        let mut regimens = Vec::new();
        for (id, (file, regimen)) in written {
            let Some(&drug) = self.ingredient_of.get(&regimen.drug) else {
                self.faults.add(&file, &id, format!("«{}» is no ingredient", regimen.drug));
                continue;
            };
            let by_weight = |child: &super::ChildDose| child.mg_kg.is_some() && child.times.is_some();
            if regimen.child.as_ref().is_some_and(|child| by_weight(child) == child.dose.is_some()) {
                self.faults.add(&file, &id, "a child's dose is in mg_kg with times, or in words");
            }
            let with: Vec<_> =
                regimen.with.iter().filter_map(|id| self.ingredient_of.get(id).copied()).collect();
            if with.len() != regimen.with.len() {
                self.faults.add(&file, &id, "is given with what is no ingredient");
            }
            regimens.push(regimen.linked(id, drug, with));
        }
        regimens
    }

    fn recommendations(
        &mut self,
        written: Entries<WrittenRecommendation>,
        regimens: &[Regimen],
    ) -> Vec<Recommendation> {
        let regimen_of: HashMap<&str, u16> =
            regimens.iter().map(|regimen| regimen.id.as_str()).zip(0..).collect();
        let mut recommendations = Vec::new();
        for (condition, (file, written)) in written {
            let place = (file.as_str(), condition.as_str());
            let mut lines = Vec::new();
            for (line, ids) in [(1, &written.first), (2, &written.second)] {
                for id in ids {
                    match regimen_of.get(id.as_str()) {
                        Some(&at) => lines.push((line, at)),
                        None => self.faults.add(place.0, place.1, format!("«{id}» is no regimen")),
                    }
                }
            }
            if lines.is_empty() && written.note.is_none() {
                self.faults.add(place.0, place.1, "needs a drug, or a note that says why none");
            }
            let source = self.source(place, written.source);
            recommendations.push(Recommendation { note: written.note, lines, source, condition });
        }
        recommendations
    }

    fn names(
        &mut self,
        ingredients: &Entries<WrittenIngredient>,
        combinations: Entries<WrittenCombination>,
    ) -> (Names, Vec<Combination>) {
        let mut names = Names::default();
        for (at, (id, (file, ingredient))) in (0..).zip(ingredients) {
            let all = [id, &ingredient.name].into_iter().chain(&ingredient.also).chain(&ingredient.brands);
            for name in all {
                if names.add(name, Named::Ingredient(IngredientIx(at))).is_err() {
                    self.faults.add(file, id, format!("«{name}» is another drug's name too"));
                }
            }
        }
        let mut products = Vec::new();
        for (at, (id, (file, product))) in (0..).zip(combinations) {
            let holds: Vec<_> =
                product.holds.iter().filter_map(|id| self.ingredient_of.get(id).copied()).collect();
            if holds.len() != product.holds.len() || holds.is_empty() {
                self.faults.add(&file, &id, "holds what is no ingredient");
            }
            for name in &product.names {
                if names.add(name, Named::Combination(at)).is_err() {
                    self.faults.add(&file, &id, format!("«{name}» is another drug's name too"));
                }
            }
            products.push(Combination { id, holds, also_holds: product.also_holds });
        }
        (names, products)
    }
}
