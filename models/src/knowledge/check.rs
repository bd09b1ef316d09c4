//! What entries must keep, alone and with each other.

use std::collections::HashMap;

use super::{Condition, Fault, Finding, FindingIx, FindingKind};

/// What is wrong, entry by entry.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, file: &str, entry: &str, mend: impl Into<String>) {
        self.0.push(Fault { file: file.to_owned(), entry: entry.to_owned(), mend: mend.into() });
    }

    /// Holds findings against each other: `places` are their files.
    pub(super) fn of_findings(&mut self, places: &[String], findings: &[Finding]) {
        let mut said = HashMap::new();
        for (file, finding) in places.iter().zip(findings) {
            if !is_share(finding.base) {
                self.add(file, &finding.id, "base is above 0 and below 1");
            }
            if finding.says.is_empty() || finding.asks.is_empty() || finding.name.is_empty() {
                self.add(file, &finding.id, "needs a name, what people say, and a question");
            }
            if finding.cost.is_nan() || finding.cost <= 0.0 {
                self.add(file, &finding.id, "cost is above 0");
            }
            for phrase in &finding.says {
                if phrase.trim() != phrase || phrase.is_empty() || phrase.to_lowercase() != *phrase {
                    self.add(
                        file,
                        &finding.id,
                        format!("«{phrase}» is not in lower case, or has blanks at its ends"),
                    );
                }
                if let Some(other) = said.insert(phrase.as_str(), finding.id.as_str())
                    && other != finding.id
                {
                    self.add(
                        file,
                        &finding.id,
                        format!("«{phrase}» is what {other} says; a phrase has one finding"),
                    );
                }
            }
            if finding.long_ago.is_some_and(|then| findings[then.at()].kind != FindingKind::History) {
                self.add(file, &finding.id, "long_ago is a finding of kind history");
            }
            if is_its_own_ancestor(finding, findings) {
                self.add(file, &finding.id, "is a parent of its own parents");
            }
            let parent = finding.parent.map(|parent| &findings[parent.at()]);
            if let Some(parent) = parent
                && parent.sex.is_some()
                && finding.sex.is_some()
                && parent.sex != finding.sex
            {
                self.add(file, &finding.id, format!("can never be asked: {} is of the other sex", parent.id));
            }
        }
    }

    /// Holds one condition to what all must keep.
    pub(super) fn of_condition(&mut self, file: &str, condition: &Condition, findings: &[Finding]) {
        let id = condition.id.as_str();
        if !(condition.prior > 0.0 && condition.prior < 1000.0) {
            self.add(file, id, "prior is above 0 and below 1000");
        }
        if condition.icd10.is_empty() || condition.findings.is_empty() || condition.advice.is_empty() {
            self.add(file, id, "needs a code, findings and advice");
        }
        let shares: f32 = condition.severity.iter().sum();
        if (shares - 1.0).abs() > 0.02 || condition.severity.iter().any(|share| !(0.0..=1.0).contains(share))
        {
            self.add(file, id, "the shares of severity make 1");
        }
        if !(condition.duration.typical_days > 0.0 && condition.duration.spread > 1.0) {
            self.add(file, id, "typical_days is above 0 and spread above 1");
        }
        let factors =
            condition.age.iter().map(|(_, factor)| *factor).chain([condition.sex.0, condition.sex.1]);
        if factors.chain(condition.season).any(|factor| !(0.0..=1000.0).contains(&factor)) {
            self.add(file, id, "factors of age, sex and season are 0 to 1000");
        }
        if condition.sex == (0.0, 0.0)
            || (!condition.age.is_empty() && condition.age.iter().all(|(_, f)| *f == 0.0))
        {
            self.add(file, id, "can strike nobody");
        }
        for (risk, ratio) in &condition.risks {
            let risk = &findings[risk.at()];
            if !risk.kind.is_of_the_person() {
                self.add(file, id, format!("{} is no history or risk: it belongs to the findings", risk.id));
            }
            if !(*ratio > 0.0 && *ratio <= 1000.0) {
                self.add(file, id, format!("the ratio of {} is above 0 and at most 1000", risk.id));
            }
        }
        for likelihood in &condition.findings {
            self.of_likelihood(file, condition, likelihood.finding, likelihood.p, findings);
        }
    }

    fn of_likelihood(
        &mut self,
        file: &str,
        condition: &Condition,
        at: FindingIx,
        p: f32,
        findings: &[Finding],
    ) {
        let finding = &findings[at.at()];
        if !is_share(p) {
            self.add(file, &condition.id, format!("the share of {} is above 0 and below 1", finding.id));
        }
        if finding.kind.is_of_the_person() {
            self.add(
                file,
                &condition.id,
                format!("{} is history or risk: it belongs to the risks", finding.id),
            );
        }
        if let Some(parent) = finding.parent.and_then(|parent| condition.likelihood(parent))
            && parent.p < p
        {
            let name = &findings[parent.finding.at()].id;
            self.add(
                file,
                &condition.id,
                format!("{} is rarer than {}, without which it cannot be", name, finding.id),
            );
        }
    }
}

fn is_share(p: f32) -> bool {
    p > 0.0 && p < 1.0
}

fn is_its_own_ancestor(finding: &Finding, findings: &[Finding]) -> bool {
    let mut above = finding.parent;
    for _ in 0..findings.len() {
        let Some(parent) = above else { return false };
        above = findings[parent.at()].parent;
    }
    true
}
