//! Free words cut into clauses and tokens.

use super::language::Language;

/// The most tokens of a clause: longer ones are cut, which costs a match at the seam and bounds the work.
const LONGEST: usize = 64;
/// The longest word that is read as one.
const LONGEST_WORD: usize = 40;

/// One word or number.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// In lower case, without apostrophes.
    pub word: String,
    /// What stands for it among the words for one thing.
    pub root: String,
    /// Where it stands in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// As a number.
    pub number: Option<f32>,
    /// How many commas, brackets and dashes stand before it in the clause.
    pub commas: u16,
    /// Which place it has among the words that say something.
    pub position: u16,
    /// Whether the last comma, bracket or dash before it was a colon.
    pub is_after_colon: bool,
    /// Whether it says nothing of its own.
    pub is_stop: bool,
}

/// Words up to a full stop, or to a word such as «but».
#[derive(Debug, Clone, Default)]
pub(super) struct Clause {
    pub tokens: Vec<Token>,
    /// Whether it is a sentence's first clause.
    pub is_first: bool,
    /// Whether it began with a word such as «but».
    pub is_but: bool,
    /// Whether it carries on the clause before, which was cut for its length alone.
    pub is_carried_on: bool,
}

/// Cuts a text into clauses; nothing of it is dropped but what is neither letter nor digit.
pub(super) fn clauses(text: &str, language: &Language) -> Vec<Clause> {
    let mut cut =
        Cut { language, clauses: Vec::new(), clause: Clause::default(), commas: 0, is_colon: false };
    cut.clause.is_first = true;
    let mut characters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((start, character)) = characters.next() {
        if character.is_alphanumeric() {
            let mut end = start + character.len_utf8();
            let is_number = character.is_ascii_digit();
            let mut word: String = character.to_lowercase().collect();
            while let Some((at, next)) = characters.peek().copied() {
                let after = text[at + next.len_utf8()..].chars().next().unwrap_or(' ');
                let joins = match next {
                    _ if is_number => {
                        next.is_ascii_digit() || (matches!(next, '.' | '/') && after.is_ascii_digit())
                    }
                    '\'' | '’' => after.is_alphabetic(),
                    _ => next.is_alphanumeric(),
                };
                if !joins {
                    break;
                }
                if !matches!(next, '\'' | '’') {
                    word.extend(next.to_lowercase());
                } else if is_possessive(&text[at + next.len_utf8()..]) {
                    characters.nth(1);
                    break;
                }
                end = at + next.len_utf8();
                characters.next();
            }
            cut.word(word, start, end);
        } else {
            match character {
                '.' if before.is_alphabetic() && cut.is_abbreviated(&text[start + 1..]) => {}
                '.' | ';' | '!' | '?' | '\n' => cut.end(true),
                ',' | '(' | ')' | ':' | '–' | '—' => cut.comma(character),
                '-' if before == ' ' => cut.comma(character),
                _ => {}
            }
        }
        before = character;
    }
    cut.end(true);
    cut.clauses
}

/// Whether what follows an apostrophe is the «s» of «the man's knee».
fn is_possessive(rest: &str) -> bool {
    let mut characters = rest.chars();
    characters.next() == Some('s') && !characters.next().is_some_and(char::is_alphanumeric)
}

struct Cut<'a> {
    language: &'a Language,
    clauses: Vec<Clause>,
    clause: Clause,
    commas: u16,
    is_colon: bool,
}

impl Cut<'_> {
    fn comma(&mut self, character: char) {
        self.commas += 1;
        self.is_colon = character == ':';
    }

    fn word(&mut self, mut word: String, start: usize, end: usize) {
        if word.len() > LONGEST_WORD {
            word = word.chars().take(LONGEST_WORD / 4).collect();
        }
        let is_but = self.language.but.contains(&word);
        if is_but || self.clause.tokens.len() >= LONGEST {
            let is_first = self.clause.tokens.is_empty() && self.clause.is_first;
            self.end(false);
            self.clause.is_first = is_first;
            self.clause.is_but = is_but;
            self.clause.is_carried_on = !is_but;
        }
        let pair = self.clause.tokens.last().filter(|last| last.commas == self.commas).and_then(|last| {
            self.language.pairs.get(&(last.word.clone(), word.clone())).map(|words| (last.start, words))
        });
        if let Some((start, words)) = pair {
            self.clause.tokens.pop();
            for word in words {
                self.push(word.clone(), start, end);
            }
            return;
        }
        match self.language.splits.get(&word) {
            Some(words) => words.iter().for_each(|word| self.push(word.clone(), start, end)),
            None => self.push(word, start, end),
        }
    }

    fn push(&mut self, word: String, start: usize, end: usize) {
        let number =
            word.starts_with(|first: char| first.is_ascii_digit()).then(|| word.parse().ok()).flatten();
        let root = self.language.root(&word);
        let is_stop = self.language.stop.contains(&word);
        let position = self.clause.tokens.iter().filter(|token| !token.is_stop).count();
        self.clause.tokens.push(Token {
            root,
            start,
            end,
            number,
            commas: self.commas,
            is_after_colon: self.is_colon,
            position: u16::try_from(position).unwrap_or(u16::MAX),
            is_stop,
            word,
        });
    }

    /// Whether a full stop before `rest` is one of «e.g.»: a letter alone stands on each side, or two before it and nothing
    /// that begins a sentence after it.
    fn is_abbreviated(&self, rest: &str) -> bool {
        let letters =
            self.clause.tokens.iter().rev().take(2).take_while(|token| token.word.len() == 1).count();
        let mut next = rest.chars();
        let is_letter_next =
            next.next().is_some_and(char::is_alphabetic) && !next.next().is_some_and(char::is_alphanumeric);
        let begins = rest.chars().find(|character| !character.is_whitespace());
        letters > 0 && is_letter_next || letters == 2 && !begins.is_some_and(char::is_uppercase)
    }

    fn end(&mut self, is_sentence: bool) {
        let clause = std::mem::take(&mut self.clause);
        if !clause.tokens.is_empty() {
            self.clauses.push(clause);
        }
        self.clause.is_first = is_sentence;
        self.commas = 0;
        self.is_colon = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let clauses = clauses(text, &Language::english());
        clauses.iter().map(|clause| clause.tokens.iter().map(|token| token.word.clone()).collect()).collect()
    }

    #[test]
    fn sentences_numbers_and_apostrophes_are_cut_where_a_reader_would() {
        assert_eq!(
            words("BP 150/90, temp 38.5°C. Can't walk"),
            [vec!["bp", "150/90", "temp", "38.5", "c"], vec!["cant", "walk"]]
        );
        assert_eq!(
            words("45yo man's knee, but no fever"),
            [vec!["45", "yo", "man", "knee"], vec!["but", "no", "fever"]]
        );
        assert_eq!(words("stomachache e.g. now"), [vec!["abdomen", "pain", "e", "g", "now"]]);
        assert_eq!(words("No fever.Severe pain"), [vec!["no", "fever"], vec!["severe", "pain"]]);
        assert_eq!(
            words("well at 5 p.m. Now pain"),
            [vec!["well", "at", "5", "p", "m"], vec!["now", "pain"]]
        );
    }

    #[test]
    fn no_clause_grows_without_bound() {
        let long = "cough ".repeat(10_000);
        let clauses = clauses(&long, &Language::english());
        assert!(clauses.iter().all(|clause| clause.tokens.len() <= LONGEST + 1));
        assert_eq!(clauses.iter().map(|clause| clause.tokens.len()).sum::<usize>(), 10_000);
    }
}
