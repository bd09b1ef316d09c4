//! The walk over a data set that writes it anew.

use super::private::Blocks;
use super::*;
use crate::project::Patient;
use crate::source::disagrees;
use crate::table::Otherwise;
use part10::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, UNDEFINED, implied_vr};

/// What becomes of everything inside a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Each attribute by its own rule.
    ByRule,
    /// A dummy for each value: the sequence itself was to get one.
    Dummies,
}

/// The data set that is written anew.
pub(crate) struct DataSet<'p> {
    profile: &'p Profile,
    project: &'p Project,
    patient: Patient,
    /// Where comments lie in codestreams, in order.
    comments: Vec<Range<u64>>,
    changes: Changes,
}

impl<'p> DataSet<'p> {
    /// Of the patient that `header` names; without an ID, the study stands for the patient. `comments` are parts of
    /// Pixel Data to blank.
    pub(super) fn new(
        header: &InMemDicomObject,
        comments: Vec<Range<u64>>,
        profile: &'p Profile,
        project: &'p Project,
    ) -> Result<Self, DeidentifyError> {
        let word = |tag| text(header, tag).unwrap_or_default();
        let patient = match word(tags::PATIENT_ID) {
            id if id.is_empty() => project.patient("study", &word(tags::STUDY_INSTANCE_UID)),
            id => project.patient(&word(tags::ISSUER_OF_PATIENT_ID), &id),
        };
        Ok(Self { profile, project, patient, comments, changes: Changes::default() })
    }

    pub(super) fn pseudonym(&self) -> &str {
        &self.patient.pseudonym
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    /// The UID that `former` becomes.
    pub(super) fn uid(&self, former: &str) -> String {
        if self.profile.has(ProfileOption::Uids) { former.to_owned() } else { self.project.uid(former) }
    }

    /// Writes the outermost data set, which lies at `span` of `reader`, as pieces.
    pub(super) fn outermost<R: Read + Seek>(
        &mut self,
        reader: &mut R,
        scan: &Scan,
        span: Range<u64>,
        limits: &Limits,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), DeidentifyError> {
        let encoding = scan.encoding();
        let mut source = InReader::new(reader, span.end);
        let (mut out, mut blocks) = (Output::default(), Blocks::default());
        let mut marks =
            super::marks::marks(self.profile, &self.patient.pseudonym, encoding).into_iter().peekable();
        let mut at = span.start;
        while at < span.end {
            let element = source.header(at, encoding)?;
            let end = end_of(&mut source, at + element.header_bytes, &element)?;
            let mut is_marked = false;
            while let Some((tag, whole)) = marks.next_if(|(tag, _)| *tag <= element.tag) {
                is_marked |= tag == element.tag;
                out.0.extend(whole);
            }
            if is_pixels(element.tag) && content(&element, at)? != Content::Sequence {
                pieces.push(Piece::New(std::mem::take(&mut out.0)));
                self.kept(at..end, pieces);
            } else if !is_marked {
                let bytes = source.take(at, end, limits.header_bytes)?;
                self.element(InMemory(&bytes), &mut 0, encoding, Inside::ByRule, &mut blocks, &mut out)?;
            }
            at = end;
        }
        marks.for_each(|(_, whole)| out.0.extend(whole));
        pieces.push(Piece::New(out.0));
        Ok(())
    }

    /// Pixel Data at `span`, with zeros where its codestreams hold comments.
    fn kept(&self, span: Range<u64>, pieces: &mut Vec<Piece>) {
        let from = self.comments.partition_point(|comment| comment.start < span.start);
        let mut at = span.start;
        for comment in self.comments[from..].iter().take_while(|comment| comment.end <= span.end) {
            pieces.push(Piece::Kept(at..comment.start));
            pieces.push(Piece::Blank((comment.end - comment.start) as u16));
            at = comment.end;
        }
        pieces.push(Piece::Kept(at..span.end));
    }

    /// The elements from `at` up to `end`, or up to an Item Delimitation. Recursion is as deep as the walk allowed.
    fn elements(
        &mut self,
        mut from: InMemory<'_>,
        at: &mut u64,
        end: Option<u64>,
        encoding: Encoding,
        inside: Inside,
        out: &mut Output,
    ) -> Result<(), DeidentifyError> {
        let mut blocks = Blocks::default();
        while end.is_none_or(|end| *at < end) {
            let element = from.header(*at, encoding)?;
            if element.tag == ITEM_DELIMITATION {
                *at += element.header_bytes;
                break;
            }
            self.element(from, at, encoding, inside, &mut blocks, out)?;
        }
        Ok(())
    }

    /// The element at `at`, which moves behind it.
    fn element(
        &mut self,
        mut from: InMemory<'_>,
        at: &mut u64,
        encoding: Encoding,
        inside: Inside,
        blocks: &mut Blocks,
        out: &mut Output,
    ) -> Result<(), DeidentifyError> {
        let start = *at;
        let element = from.header(start, encoding)?;
        let value_at = start + element.header_bytes;
        let end = end_of(&mut from, value_at, &element)?;
        *at = end;
        let tag = element.tag;
        if tag.element() == 0 {
            // a group's length, which will not be true
            return Ok(());
        }
        let heads = content(&element, start)?;
        // what an attribute is tells the dictionary, whichever VR the file claims
        let implied = implied_vr(tag);
        let action = if is_private(tag) {
            blocks.action(self.profile, from.take(value_at, end)?, &element, heads)
        } else if heads == Content::Fragments || (heads == Content::Value && implied == VR::SQ) {
            // items inside a plain value, which nobody reads; fragments have their place in Pixel Data alone
            Action::Remove
        } else {
            match (table::action(tag, element.vr, self.profile), inside) {
                (Action::Keep, Inside::Dummies) if heads != Content::Sequence => Action::Dummy,
                (action, _) => action,
            }
        };
        let whole = from.take(start, end)?;
        match (action, heads) {
            (Action::Remove, _) => self.removed(tag),
            (Action::Keep | Action::Uid | Action::Shift(_) | Action::Words(_), Content::Sequence) => {
                self.sequence(from, start, &element, inside, out)?;
            }
            (Action::Empty, Content::Sequence) => {
                self.changes.emptied += 1;
                out.sequence(from.take(start, value_at)?, 0);
            }
            (Action::Dummy, Content::Sequence) => self.dummies(from, start, &element, out)?,
            (Action::Keep, _) => out.0.extend_from_slice(whole),
            (_, Content::Fragments) => self.removed(tag),
            (action, Content::Value) => {
                self.value(action, &element, encoding, from.take(value_at, end)?, out);
            }
        }
        Ok(())
    }

    fn removed(&mut self, tag: Tag) {
        self.changes.removed += 1;
        self.changes.private_removed += u32::from(is_private(tag));
    }

    /// A sequence whose items are written anew.
    fn sequence(
        &mut self,
        mut from: InMemory<'_>,
        start: u64,
        element: &Element,
        inside: Inside,
        out: &mut Output,
    ) -> Result<(), DeidentifyError> {
        let mut at = start + element.header_bytes;
        let end = (element.length != UNDEFINED).then(|| at + u64::from(element.length));
        out.sequence(from.take(start, at)?, UNDEFINED);
        while end.is_none_or(|end| at < end) {
            let item = from.header(at, element.inside)?;
            at += item.header_bytes;
            match item.tag {
                SEQUENCE_DELIMITATION => break,
                ITEM => {
                    let item_end = (item.length != UNDEFINED).then(|| at + u64::from(item.length));
                    out.open_item(element.inside);
                    self.elements(from, &mut at, item_end, element.inside, inside, out)?;
                    out.close_item(element.inside);
                }
                _ => return Err(disagrees(at)),
            }
        }
        out.close_sequence(element.inside);
        Ok(())
    }

    /// A sequence that says nothing: of content one item that tells so, else every value in it a dummy.
    fn dummies(
        &mut self,
        from: InMemory<'_>,
        start: u64,
        element: &Element,
        out: &mut Output,
    ) -> Result<(), DeidentifyError> {
        self.changes.replaced += 1;
        if ![tags::CONTENT_SEQUENCE, tags::WAVEFORM_ANNOTATION_SEQUENCE].contains(&element.tag) {
            return self.sequence(from, start, element, Inside::Dummies, out);
        }
        out.sequence(from.take(start, start + element.header_bytes)?, UNDEFINED);
        super::marks::content_removed(out, element.inside);
        out.close_sequence(element.inside);
        Ok(())
    }

    /// A plain value that changes. It is read as the dictionary says where that is a date, and fits the VR it came in.
    fn value(
        &mut self,
        action: Action,
        element: &Element,
        encoding: Encoding,
        former: &[u8],
        out: &mut Output,
    ) {
        let implied = implied_vr(element.tag);
        let vr = if element.vr == VR::UN { implied } else { element.vr };
        let read_as = if matches!(implied, VR::DA | VR::DT | VR::TM) { implied } else { vr };
        let cleaned = match action {
            Action::Shift(_) => {
                let moved = value::shifted(read_as, former, self.patient.days_back);
                self.changes.dates += u32::from(moved.is_some());
                moved
            }
            Action::Words(_) if is_text(vr) => crate::words::cleaned(former).map(String::into_bytes),
            Action::Uid => {
                self.changes.uids += 1;
                Some(value::uids(former, self.project))
            }
            _ => None,
        };
        let otherwise = match action {
            Action::Shift(otherwise) | Action::Words(otherwise) => otherwise,
            Action::Empty => Otherwise::Empty,
            Action::Dummy if value::is_empty(former) => Otherwise::Empty,
            _ => Otherwise::Dummy,
        };
        let fresh = match (cleaned, otherwise) {
            (Some(cleaned), _) => cleaned,
            (None, Otherwise::Remove) => return self.removed(element.tag),
            (None, Otherwise::Empty) => {
                self.changes.emptied += 1;
                Vec::new()
            }
            (None, Otherwise::Dummy) if element.tag == tags::PATIENT_ID => {
                self.changes.replaced += 1;
                self.patient.pseudonym.clone().into_bytes()
            }
            (None, Otherwise::Dummy) => {
                self.changes.replaced += 1;
                value::dummy(vr, former, self.project)
            }
        };
        out.instead(element, encoding, fresh);
    }
}

fn is_text(vr: VR) -> bool {
    matches!(vr, VR::CS | VR::LO | VR::LT | VR::SH | VR::ST | VR::UC | VR::UT)
}

fn is_private(tag: Tag) -> bool {
    !tag.group().is_multiple_of(2)
}

/// Pixel Data in its three forms (PS3.3, section C.7.6.24).
fn is_pixels(tag: Tag) -> bool {
    [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA, tags::PIXEL_DATA].contains(&tag)
}
