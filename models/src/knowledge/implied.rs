//! Rules of urgency that another rule makes idle.

use std::collections::HashSet;

use super::check::Faults;
use super::{Finding, FindingIx, RedFlag};

impl Faults {
    /// Refuses a rule that holds only where another one does at the same or a higher level: nobody would ever see it alone, and
    /// what it excludes would never count.
    pub(super) fn of_red_flags(&mut self, places: &[String], flags: &[RedFlag], findings: &[Finding]) {
        for (file, flag) in places.iter().zip(flags) {
            let sure = Sure::of(flag, findings);
            let other = flags.iter().find(|other| other.id != flag.id && sure.implies(other, findings));
            if let Some(other) = other {
                self.add(
                    file,
                    &flag.id,
                    format!("says nothing that {} does not say as soon or sooner", other.id),
                );
            }
        }
    }
}

/// What is certain where a rule holds.
struct Sure<'a> {
    flag: &'a RedFlag,
    /// There, with what must be there for it.
    there: HashSet<FindingIx>,
}

impl<'a> Sure<'a> {
    fn of(flag: &'a RedFlag, findings: &[Finding]) -> Self {
        let there = flag.all.iter().flat_map(|finding| with_parents(*finding, findings)).collect();
        Self { flag, there }
    }

    /// Whether `other` holds wherever this rule does, at the same level or above.
    fn implies(&self, other: &RedFlag, findings: &[Finding]) -> bool {
        let flag = self.flag;
        let is_within = |own: Option<(f32, f32)>, others: Option<(f32, f32)>| {
            others.is_none_or(|(from, to)| own.is_some_and(|own| from <= own.0 && own.1 <= to))
        };
        let is_kept_off = || {
            other.unless.is_empty()
                || other.unless == flag.unless
                || other.unless.iter().any(|finding| flag.none.contains(finding))
        };
        other.urgency >= flag.urgency
            && is_within(flag.ages, other.ages)
            && is_within(flag.days, other.days)
            && (other.sex.is_none() || other.sex == flag.sex)
            && (other.pregnant.is_none() || other.pregnant == flag.pregnant)
            && other.none.iter().all(|finding| flag.none.contains(finding))
            && is_kept_off()
            && other.all.iter().all(|finding| self.has(*finding, findings))
            && self.has_enough_of(other, findings)
    }

    /// Whether a finding is there whichever of `any` made the rule hold.
    fn has(&self, finding: FindingIx, findings: &[Finding]) -> bool {
        let without =
            self.flag.any.iter().filter(|any| !with_parents(**any, findings).any(|above| above == finding));
        self.there.contains(&finding) || without.count() < usize::from(self.flag.at_least)
    }

    fn has_enough_of(&self, other: &RedFlag, findings: &[Finding]) -> bool {
        let there = other.any.iter().filter(|any| self.there.contains(any)).count();
        let wanted = usize::from(other.at_least).saturating_sub(there);
        let is_new = |finding: FindingIx| other.any.contains(&finding) && !self.there.contains(&finding);
        // Two of the rule's own may have one parent among the other's: for more than one only the findings themselves count.
        let missing = self.flag.any.iter().filter(|any| match wanted {
            1 => !with_parents(**any, findings).any(is_new),
            _ => !is_new(**any),
        });
        wanted == 0 || usize::from(self.flag.at_least).saturating_sub(missing.count()) >= wanted
    }
}

/// A finding, and all that must be there for it; a circle of parents ends where it began.
fn with_parents(finding: FindingIx, findings: &[Finding]) -> impl Iterator<Item = FindingIx> {
    let above = |at: &FindingIx| findings[at.at()].parent;
    std::iter::successors(Some(finding), above).take(findings.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Knowledge, KnowledgeError};

    const FINDINGS: &str = r#"
[fever]
name = "Fever"
kind = "symptom"
base = 0.1
says = ["fever"]
asks = "Fever?"
[high-fever]
name = "High fever"
kind = "symptom"
base = 0.05
says = ["high fever"]
asks = "High?"
parent = "fever"
[rash]
name = "Rash"
kind = "symptom"
base = 0.1
says = ["rash"]
asks = "Rash?"
"#;

    fn with(rules: &str) -> Result<Knowledge, KnowledgeError> {
        Knowledge::from_texts(&[("findings/a.toml", FINDINGS), ("rules/b.toml", rules)])
    }

    /// Two rules, each by its keys.
    fn both(one: &str, other: &str) -> Result<Knowledge, KnowledgeError> {
        with(&format!("[one]\nsays = \"One.\"\n{one}\n[other]\nsays = \"Other.\"\n{other}\n"))
    }

    #[test]
    fn a_rule_that_another_makes_idle_is_refused() {
        for (one, other) in [
            (
                "urgency = \"emergency\"\nall = [\"high-fever\"]",
                "urgency = \"emergency-ambulance\"\nall = [\"fever\"]",
            ),
            (
                "urgency = \"emergency\"\nall = [\"rash\"]\nany = [\"fever\", \"high-fever\"]",
                "urgency = \"emergency\"\nall = [\"fever\", \"rash\"]",
            ),
            (
                "urgency = \"emergency\"\nall = [\"rash\"]\nages = [20, 30]\nnone = [\"fever\"]",
                "urgency = \"emergency\"\nall = [\"rash\"]\nages = [0, 125]",
            ),
        ] {
            let error = both(one, other).unwrap_err().to_string();
            assert!(error.contains("one: says nothing that other does not say"), "{error}");
        }
    }

    #[test]
    fn rules_that_say_more_stand_side_by_side() {
        for (one, other) in [
            (
                "urgency = \"emergency\"\nall = [\"high-fever\"]",
                "urgency = \"within-24h\"\nall = [\"fever\"]",
            ),
            (
                "urgency = \"emergency\"\nall = [\"rash\"]\nnone = [\"high-fever\"]",
                "urgency = \"emergency\"\nall = [\"rash\", \"fever\"]",
            ),
            (
                "urgency = \"emergency\"\nall = [\"rash\"]\nunless = [\"fever\"]",
                "urgency = \"emergency\"\nall = [\"fever\", \"rash\"]\ndays = [0, 3]",
            ),
            (
                "urgency = \"emergency\"\nall = [\"rash\"]\ndays = [0, 3]",
                "urgency = \"emergency\"\nall = [\"rash\"]\nages = [0, 5]",
            ),
        ] {
            both(one, other).unwrap();
        }
    }
}
