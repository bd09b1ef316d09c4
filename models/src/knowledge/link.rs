//! From ids to indices: the files' entries become tables.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use serde::de::DeserializeOwned;

use super::check::Faults;
use super::written::{WrittenCondition, WrittenFinding, WrittenLikelihood, WrittenRedFlag, WrittenSex};
use super::{
    Condition, ConditionIx, Duration, Files, Finding, FindingIx, FindingKind, Knowledge, KnowledgeError,
    Likelihood, RedFlag, Source,
};
use crate::source::{Reference, WrittenSource};

/// Entries by id, each with the file that it stands in.
pub(crate) type Entries<T> = BTreeMap<String, (String, T)>;
/// The entries of one file, by id, after its name.
pub(crate) type OfFile<T> = (String, BTreeMap<String, T>);

impl Knowledge {
    pub(super) fn of(files: &Files) -> Result<Self, KnowledgeError> {
        let mut faults = Faults::default();
        let (findings, (conditions, (sources, flags))) = rayon::join(
            || read::<WrittenFinding>(files, "findings"),
            || {
                let conditions = read::<WrittenCondition>(files, "conditions");
                (
                    conditions,
                    (read::<WrittenSource>(files, "sources"), read::<WrittenRedFlag>(files, "rules")),
                )
            },
        );
        let findings = once(findings?, &mut faults);
        let conditions = once(conditions?, &mut faults);
        let sources = once(sources?, &mut faults);
        let flags = once(flags?, &mut faults);
        if findings.len().max(conditions.len()).max(sources.len()) > usize::from(u16::MAX) {
            faults.add("", "", "holds at most 65535 entries of a kind");
            return Err(KnowledgeError::Faults(faults.0));
        }

        let finding_of: HashMap<String, FindingIx> =
            numbered(&findings).map(|(id, at)| (id, FindingIx(at))).collect();
        let source_of: HashMap<String, u16> = numbered(&sources).collect();
        let mut link = Link { finding_of: &finding_of, source_of: &source_of, faults: &mut faults };
        let mut of_findings = link.findings(findings);
        let places: Vec<_> = of_findings.iter().map(|(file, _)| file.clone()).collect();
        for at in 0..of_findings.len() {
            if let Some(parent) = of_findings[at].1.parent {
                of_findings[parent.at()].1.children.push(FindingIx(at as u16));
            }
        }
        let findings: Vec<Finding> = of_findings.into_iter().map(|(_, finding)| finding).collect();
        let of_conditions: Vec<(String, Condition)> = conditions
            .into_iter()
            .map(|(id, (file, written))| (file.clone(), link.condition(&file, id, written)))
            .collect();
        let (places_of_flags, red_flags): (Vec<String>, Vec<RedFlag>) = flags
            .into_iter()
            .map(|(id, (file, written))| (file.clone(), link.red_flag(&file, id, written)))
            .unzip();
        let sources = link.sources(sources);

        faults.of_findings(&places, &findings);
        faults.of_red_flags(&places_of_flags, &red_flags, &findings);
        for (file, condition) in &of_conditions {
            faults.of_condition(file, condition, &findings);
        }
        let conditions: Vec<Condition> = of_conditions.into_iter().map(|(_, condition)| condition).collect();
        if !faults.0.is_empty() {
            return Err(KnowledgeError::Faults(faults.0));
        }
        let condition_of = conditions
            .iter()
            .zip(0..)
            .map(|(condition, at)| (condition.id.clone(), ConditionIx(at)))
            .collect();
        Ok(Self {
            findings,
            conditions,
            sources,
            red_flags,
            finding_of,
            condition_of,
            version: files.version(),
        })
    }
}

/// The entries of every file of a folder, with their files.
pub(crate) fn read<T: DeserializeOwned + Send>(
    files: &Files,
    folder: &str,
) -> Result<Vec<OfFile<T>>, KnowledgeError> {
    let files: Vec<_> = files.below(folder).collect();
    files
        .into_par_iter()
        .map(|(name, text)| match toml::from_str(text) {
            Ok(entries) => Ok((name.to_owned(), entries)),
            Err(error) => Err(KnowledgeError::Written { file: name.to_owned(), error: Box::new(error) }),
        })
        .collect()
}

/// All entries together; one that stands twice is a fault.
pub(crate) fn once<T>(files: Vec<OfFile<T>>, faults: &mut Faults) -> Entries<T> {
    let mut all = Entries::new();
    for (file, entries) in files {
        for (id, entry) in entries {
            if let Some((other, _)) = all.get(&id) {
                faults.add(&file, &id, format!("stands in {other} too; one thing has one entry"));
            } else {
                all.insert(id, (file.clone(), entry));
            }
        }
    }
    all
}

fn numbered<T>(entries: &Entries<T>) -> impl Iterator<Item = (String, u16)> {
    entries.keys().cloned().zip(0..)
}

/// What turns ids into indices, and notes those that are none.
struct Link<'a> {
    finding_of: &'a HashMap<String, FindingIx>,
    source_of: &'a HashMap<String, u16>,
    faults: &'a mut Faults,
}

impl Link<'_> {
    fn finding(&mut self, file: &str, entry: &str, id: &str) -> Option<FindingIx> {
        let found = self.finding_of.get(id).copied();
        if found.is_none() {
            self.faults.add(file, entry, format!("there is no finding {id}"));
        }
        found
    }

    fn source(&mut self, file: &str, entry: &str, id: Option<String>) -> Option<u16> {
        let id = id?;
        let found = self.source_of.get(&id).copied();
        if found.is_none() {
            self.faults.add(file, entry, format!("there is no source {id}"));
        }
        found
    }

    fn findings(&mut self, written: Entries<WrittenFinding>) -> Vec<(String, Finding)> {
        let mut groups = HashMap::new();
        let mut all = Vec::with_capacity(written.len());
        for (id, (file, written)) in written {
            let mut named = |id_of: Option<&str>| id_of.and_then(|named| self.finding(&file, &id, named));
            let parent = named(written.parent.as_deref());
            let long_ago = named(written.long_ago.as_deref());
            let next = groups.len() as u16;
            let group = written.group.map(|group| *groups.entry(group).or_insert(next));
            let cost = written.cost.unwrap_or(match written.kind {
                FindingKind::Symptom | FindingKind::History | FindingKind::Risk => 1.0,
                FindingKind::Sign => 2.0,
                FindingKind::Test => 5.0,
            });
            let finding = Finding {
                id,
                name: written.name,
                kind: written.kind,
                base: written.base,
                says: written.says,
                asks: written.asks,
                parent,
                children: Vec::new(),
                long_ago,
                group,
                sex: written.sex,
                ages: written.ages,
                cost,
            };
            all.push((file, finding));
        }
        all
    }

    fn condition(&mut self, file: &str, id: String, written: WrittenCondition) -> Condition {
        let mut findings = Vec::with_capacity(written.findings.len());
        for (finding, likelihood) in written.findings {
            let (p, source) = match likelihood {
                WrittenLikelihood::Estimated(p) => (p, None),
                WrittenLikelihood::Measured { p, source } => (p, Some(source)),
            };
            let source = self.source(file, &id, source);
            if let Some(finding) = self.finding(file, &id, &finding) {
                findings.push(Likelihood { finding, p, source });
            }
        }
        findings.sort_by_key(|likelihood| likelihood.finding);
        let risks = written.risks.into_iter();
        let risks =
            risks.filter_map(|(risk, ratio)| Some((self.finding(file, &id, &risk)?, ratio))).collect();
        let mut age = Vec::with_capacity(written.age.len());
        for (from, factor) in written.age {
            match from.parse::<f32>() {
                Ok(from) if from.is_finite() => age.push((from, factor)),
                _ => self.faults.add(file, &id, format!("age {from} is no number of years")),
            }
        }
        age.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let WrittenSex { female, male } = written.sex;
        let season = written.season;
        Condition {
            id,
            name: written.name,
            also: written.also,
            icd10: written.icd10,
            category: written.category,
            urgency: written.urgency,
            dangerous: written.dangerous,
            chronic: written.chronic,
            prior: written.prior,
            age,
            sex: (female, male),
            season: [season.winter, season.spring, season.summer, season.autumn],
            risks,
            duration: Duration {
                typical_days: written.duration.typical_days,
                spread: written.duration.spread,
            },
            severity: written.severity,
            says_when: written.says_when,
            advice: written.advice,
            findings,
        }
    }

    fn red_flag(&mut self, file: &str, id: String, written: WrittenRedFlag) -> RedFlag {
        let mut every = |ids: Vec<String>| -> Vec<FindingIx> {
            ids.iter().filter_map(|finding| self.finding(file, &id, finding)).collect()
        };
        let (all, any, none) = (every(written.all), every(written.any), every(written.none));
        let unless = every(written.unless);
        let at_least = written.at_least.unwrap_or(u8::from(!any.is_empty()));
        if usize::from(at_least) > any.len() || all.is_empty() && at_least == 0 && written.ages.is_none() {
            self.faults.add(file, &id, "can never hold, or always does");
        }
        let source = self.source(file, &id, written.source);
        RedFlag {
            id,
            urgency: written.urgency,
            says: written.says,
            all,
            at_least,
            any,
            none,
            unless,
            ages: written.ages,
            days: written.days,
            sex: written.sex,
            pregnant: written.pregnant,
            source,
        }
    }

    fn sources(&mut self, written: Entries<WrittenSource>) -> Vec<Source> {
        let mut all = Vec::with_capacity(written.len());
        for (id, (file, written)) in written {
            // A page changes; what conditions are measured by does not.
            let Some(Reference::Number(reference)) = written.reference() else {
                self.faults.add(
                    &file,
                    &id,
                    "has no DOI, PMID or ISBN, or does not say when it was looked up",
                );
                continue;
            };
            all.push(Source { id, says: written.says, reference });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINDINGS: &str = r#"
[cough]
name = "Cough"
kind = "symptom"
base = 0.1
says = ["cough"]
asks = "Do you cough?"
[dry-cough]
name = "Dry cough"
kind = "symptom"
base = 0.05
says = ["dry cough"]
asks = "Is the cough dry?"
parent = "cough"
[smoking]
name = "Smoking"
kind = "risk"
base = 0.2
says = ["smoker"]
asks = "Do you smoke?"
"#;
    const CONDITION: &str = r#"
[bronchitis]
name = "Acute bronchitis"
also = ["bronchitis"]
icd10 = ["J20.9"]
category = "respiratory"
urgency = "self-care"
prior = 20
age = { 0 = 0.5, 18 = 1.2 }
duration = { typical_days = 5, spread = 2 }
severity = [0.4, 0.5, 0.1]
says_when = "An infection of the airways."
advice = ["Rest."]
risks = { smoking = 1.5 }
[bronchitis.findings]
cough = { p = 0.95, source = "somebody-2001" }
dry-cough = 0.4
"#;
    const SOURCE: &str =
        "[somebody-2001]\nsays = \"Somebody 2001\"\npmid = \"1\"\nlooked_up = \"2026-11-22\"\n";

    fn with(condition: &str) -> Result<Knowledge, KnowledgeError> {
        let texts =
            [("findings/a.toml", FINDINGS), ("conditions/b.toml", condition), ("sources/c.toml", SOURCE)];
        Knowledge::from_texts(&texts)
    }

    #[test]
    fn what_is_in_the_box_holds_together() {
        let knowledge = Knowledge::built_in().unwrap_or_else(|error| panic!("{error}"));
        assert!(knowledge.conditions.len() >= 200, "{} conditions", knowledge.conditions.len());
        assert!(knowledge.findings.len() >= 400, "{} findings", knowledge.findings.len());
        assert_eq!(knowledge.version().len(), 64);
    }

    #[test]
    fn entries_are_linked_by_place() {
        let knowledge = with(CONDITION).unwrap();
        let dry = knowledge.finding("dry-cough").unwrap();
        let bronchitis = &knowledge.conditions[knowledge.condition("bronchitis").unwrap().at()];
        assert_eq!(bronchitis.likelihood(dry).unwrap().p, 0.4);
        assert_eq!(knowledge.findings[dry.at()].parent, knowledge.finding("cough"));
        assert_eq!((bronchitis.age_factor(3.0), bronchitis.age_factor(40.0)), (0.5, 1.2));
        let measured = bronchitis.likelihood(knowledge.finding("cough").unwrap()).unwrap();
        assert_eq!(knowledge.sources[usize::from(measured.source.unwrap())].reference, "pmid:1");
    }

    /// Each change of a right entry, and the words that must say what to mend.
    #[test]
    fn every_fault_is_named_with_its_file_and_entry() {
        for (right, wrong, mend) in [
            ("dry-cough = 0.4", "dry-cough = 0.97", "is rarer than dry-cough"),
            ("dry-cough = 0.4", "dry-cough = 1.0", "above 0 and below 1"),
            ("dry-cough = 0.4", "wet-cough = 0.4", "there is no finding wet-cough"),
            ("dry-cough = 0.4", "smoking = 0.4", "belongs to the risks"),
            ("risks = { smoking = 1.5 }", "risks = { cough = 1.5 }", "belongs to the findings"),
            ("somebody-2001", "nobody-1999", "there is no source nobody-1999"),
            ("[0.4, 0.5, 0.1]", "[0.4, 0.5, 0.4]", "shares of severity"),
            ("{ 0 = 0.5, 18 = 1.2 }", "{ 0 = 0.0 }", "can strike nobody"),
        ] {
            let error = with(&CONDITION.replacen(right, wrong, 1)).unwrap_err().to_string();
            assert!(error.starts_with("conditions/b.toml: bronchitis: ") && error.contains(mend), "{error}");
        }
    }

    #[test]
    fn a_circle_of_parents_and_a_phrase_of_two_findings_are_faults() {
        let circle = FINDINGS.replacen(
            "asks = \"Do you cough?\"",
            "asks = \"Do you cough?\"\nparent = \"dry-cough\"",
            1,
        );
        let error = Knowledge::from_texts(&[("findings/a.toml", &circle)]).unwrap_err().to_string();
        assert!(error.contains("a parent of its own parents"), "{error}");
        let twice = FINDINGS.replacen("[\"dry cough\"]", "[\"cough\"]", 1);
        let error = Knowledge::from_texts(&[("findings/a.toml", &twice)]).unwrap_err().to_string();
        assert!(error.contains("a phrase has one finding"), "{error}");
    }

    #[test]
    fn a_source_that_nobody_can_find_is_none() {
        let texts = [("sources/c.toml", "[me]\nsays = \"I think so\"\nlooked_up = \"today\"\n")];
        assert!(Knowledge::from_texts(&texts).unwrap_err().to_string().contains("no DOI, PMID or ISBN"));
    }
}
