//! The form of a sealed blob: a header, then chunks of 64 KiB, each sealed by AES-256-GCM on its own.
//!
//! Each blob has a key of its own, derived from its clinic's data key, the salt in
//! its header and its name (HKDF-SHA256), so that no nonce can meet its like in
//! another blob. A nonce is the header's random prefix, the chunk's number and
//! whether the chunk is the last: chunks that were changed, moved, left out or cut
//! off do not open, and any range is read through the chunks that it touches.
//!
//! Source: Hoang, Reyhanitabar, Rogaway, Vizár, «Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance», 2015 (STREAM); RFC 5869 (HKDF).

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use bytes::{Buf, Bytes, BytesMut};
use clinical::id::ClinicId;
use uuid::Uuid;

use crate::secret::Plain;

/// Plain bytes of every chunk but the last, which has at most as many.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// What sealing adds to each chunk.
const TAG_BYTES: usize = 16;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// How a sealed blob begins; its last byte is the version of this form.
const MAGIC: [u8; 16] = *b"\x89MEDILINK-SEAL\n\x01";
const SALT_BYTES: usize = 32;
const PREFIX_BYTES: usize = 7;
/// Magic, the data key's identifier, salt, prefix.
pub(crate) const HEADER_BYTES: usize = MAGIC.len() + 16 + SALT_BYTES + PREFIX_BYTES;

/// A sealed blob was changed or cut, stands under another name, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed object does not open: it was changed or cut, or belongs elsewhere")]
pub struct Damaged;

/// What stands before the chunks.
#[derive(Clone)]
pub(crate) struct Header {
    /// Which data key its own key is derived from.
    pub(crate) data_key_id: Uuid,
    salt: [u8; SALT_BYTES],
    prefix: [u8; PREFIX_BYTES],
}

impl Header {
    /// A header that no other blob has.
    pub(crate) fn new(data_key_id: Uuid) -> Result<Self, crate::secret::SecretError> {
        let random = Plain::random(SALT_BYTES + PREFIX_BYTES)?;
        let (mut salt, mut prefix) = ([0; SALT_BYTES], [0; PREFIX_BYTES]);
        salt.copy_from_slice(&random[..SALT_BYTES]);
        prefix.copy_from_slice(&random[SALT_BYTES..]);
        Ok(Self { data_key_id, salt, prefix })
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let (magic, rest) = bytes.split_first_chunk::<16>().ok_or(Damaged)?;
        let (id, rest) = rest.split_first_chunk::<16>().ok_or(Damaged)?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().ok_or(Damaged)?;
        let prefix = rest.first_chunk::<PREFIX_BYTES>().ok_or(Damaged)?;
        if *magic != MAGIC {
            return Err(Damaged);
        }
        Ok(Self { data_key_id: Uuid::from_bytes(*id), salt: *salt, prefix: *prefix })
    }

    pub(crate) fn bytes(&self) -> Bytes {
        [MAGIC.as_slice(), self.data_key_id.as_bytes(), &self.salt, &self.prefix].concat().into()
    }
}

/// The key of one blob.
pub(crate) struct BlobKey {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
    /// Clinic and name: what must be the same when it is opened.
    associated: Vec<u8>,
}

impl BlobKey {
    /// The key of the blob `name`; the same for the same four, and for no others.
    pub(crate) fn derive(
        data_key: &Plain,
        clinic: ClinicId,
        name: &str,
        header: &Header,
    ) -> Result<Self, Damaged> {
        let associated = [clinic.0.as_bytes(), name.as_bytes()].concat();
        let extracted = Salt::new(HKDF_SHA256, &header.salt).extract(data_key);
        let info = [b"medilink blob 1".as_slice(), &associated];
        let key = extracted.expand(&info, &AES_256_GCM).map(UnboundKey::from).map_err(|_| Damaged)?;
        Ok(Self { key: LessSafeKey::new(key), prefix: header.prefix, associated })
    }

    fn nonce(&self, index: u32, place: Place) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        nonce[PREFIX_BYTES..NONCE_LEN - 1].copy_from_slice(&index.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(place == Place::Last);
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, index: u32, place: Place, mut chunk: Vec<u8>) -> Result<Bytes, Damaged> {
        let (nonce, associated) = (self.nonce(index, place), Aad::from(&self.associated));
        self.key.seal_in_place_append_tag(nonce, associated, &mut chunk).map_err(|_| Damaged)?;
        Ok(chunk.into())
    }

    fn open(&self, index: u32, place: Place, mut chunk: BytesMut) -> Result<Bytes, Damaged> {
        let (nonce, associated) = (self.nonce(index, place), Aad::from(&self.associated));
        let length = self.key.open_in_place(nonce, associated, &mut chunk).map_err(|_| Damaged)?.len();
        chunk.truncate(length);
        Ok(chunk.freeze())
    }
}

/// Whether more chunks follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inner,
    Last,
}

/// The number of a chunk; a blob beyond 256 TiB has none.
fn number(index: u64) -> Result<u32, Damaged> {
    u32::try_from(index).map_err(|_| Damaged)
}

/// Seals a blob piece by piece.
pub(crate) struct Sealer {
    key: BlobKey,
    index: u64,
    /// What is not sealed yet; never empty once something came, so that the last chunk is known as such.
    pending: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new(key: BlobKey) -> Self {
        Self { key, index: 0, pending: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) }
    }

    /// Takes the next bytes; gives the chunks that are whole now.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Bytes>, Damaged> {
        let mut sealed = Vec::with_capacity(bytes.len() / CHUNK_BYTES + 1);
        while !bytes.is_empty() {
            if self.pending.len() == CHUNK_BYTES {
                let next = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
                let chunk = std::mem::replace(&mut self.pending, next);
                sealed.push(self.key.seal(number(self.index)?, Place::Inner, chunk)?);
                self.index += 1;
            }
            let room = (CHUNK_BYTES - self.pending.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.pending.extend_from_slice(now);
            bytes = later;
        }
        Ok(sealed)
    }

    /// The last chunk.
    pub(crate) fn finish(self) -> Result<Bytes, Damaged> {
        self.key.seal(number(self.index)?, Place::Last, self.pending)
    }
}

/// Opens a blob's chunks piece by piece, from the first one that it is given on.
pub(crate) struct Opener<K> {
    key: K,
    index: u64,
    pending: BytesMut,
    end: End,
}

/// What the last chunk that is given is to the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The blob's last.
    OfBlob,
    /// One of those before it.
    Earlier,
}

impl<K: AsRef<BlobKey>> Opener<K> {
    /// From the chunk `index` on.
    pub(crate) fn new(key: K, index: u64, end: End) -> Self {
        Self { key, index, pending: BytesMut::new(), end }
    }

    /// Takes the next bytes; gives what they open.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, Damaged> {
        self.pending.extend_from_slice(bytes);
        let mut opened = Vec::new();
        // A chunk counts as the last one only when nothing follows.
        while self.pending.len() > SEALED_CHUNK_BYTES {
            let chunk = self.pending.split_to(SEALED_CHUNK_BYTES);
            opened.push(self.key.as_ref().open(number(self.index)?, Place::Inner, chunk)?);
            self.index += 1;
        }
        Ok(opened)
    }

    /// The last chunk.
    pub(crate) fn finish(self) -> Result<Bytes, Damaged> {
        let place = if self.end == End::OfBlob { Place::Last } else { Place::Inner };
        self.key.as_ref().open(number(self.index)?, place, self.pending)
    }
}

/// Which sealed bytes a plain range needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first chunk.
    pub(crate) first: u64,
    /// Where the chunks lie in the sealed blob.
    pub(crate) sealed: Range<u64>,
    /// Whether the blob's last chunk is among them.
    pub(crate) end: End,
    /// Where the range begins in what the chunks open to, and how long it is.
    within: (u64, u64),
}

impl Span {
    /// For a blob of so many sealed bytes; a range that ends behind the blob ends with it. `None` for one that
    /// begins there, or is empty.
    pub(crate) fn of(range: &Range<u64>, sealed_bytes: u64) -> Result<Option<Self>, Damaged> {
        let plain_bytes = plain_bytes(sealed_bytes)?;
        let range = range.start..range.end.min(plain_bytes);
        if range.is_empty() {
            return Ok(None);
        }
        let (chunk, sealed_chunk, header) =
            (CHUNK_BYTES as u64, SEALED_CHUNK_BYTES as u64, HEADER_BYTES as u64);
        let (first, last) = (range.start / chunk, (range.end - 1) / chunk);
        let end = header + (last + 1) * sealed_chunk;
        Ok(Some(Self {
            first,
            sealed: header + first * sealed_chunk..end.min(sealed_bytes),
            end: if end >= sealed_bytes { End::OfBlob } else { End::Earlier },
            within: (range.start - first * chunk, range.end - range.start),
        }))
    }

    /// The range out of what the chunks opened to.
    pub(crate) fn cut(&self, opened: Vec<Bytes>) -> Result<Bytes, Damaged> {
        let (start, length) = (usize::try_from(self.within.0).map_err(|_| Damaged)?, self.within.1);
        let length = usize::try_from(length).map_err(|_| Damaged)?;
        let mut whole = match <[Bytes; 1]>::try_from(opened) {
            Ok([one]) => one,
            Err(several) => several.concat().into(),
        };
        if whole.len() < start + length {
            return Err(Damaged);
        }
        whole.advance(start);
        whole.truncate(length);
        Ok(whole)
    }
}

/// How long a blob is that has so many sealed bytes.
fn plain_bytes(sealed_bytes: u64) -> Result<u64, Damaged> {
    let chunks_bytes = sealed_bytes.checked_sub(HEADER_BYTES as u64).ok_or(Damaged)?;
    let chunks = chunks_bytes.div_ceil(SEALED_CHUNK_BYTES as u64);
    chunks_bytes.checked_sub(chunks * TAG_BYTES as u64).filter(|_| chunks > 0).ok_or(Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Key(Arc<BlobKey>);

    impl AsRef<BlobKey> for Key {
        fn as_ref(&self) -> &BlobKey {
            &self.0
        }
    }

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    fn key(header: &Header, clinic: ClinicId, name: &str) -> BlobKey {
        BlobKey::derive(&Plain::new([7; 32]), clinic, name, header).unwrap()
    }

    fn seal(header: &Header, plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(key(header, CLINIC, "a"));
        let mut sealed = header.bytes().to_vec();
        for piece in plain.chunks(50_000) {
            sealed.extend(sealer.push(piece).unwrap().concat());
        }
        sealed.extend(sealer.finish().unwrap());
        sealed
    }

    fn open_as(sealed: &[u8], clinic: ClinicId, name: &str) -> Result<Vec<u8>, Damaged> {
        let header = Header::read(sealed)?;
        let mut opener = Opener::new(Key(Arc::new(key(&header, clinic, name))), 0, End::OfBlob);
        let mut plain = Vec::new();
        for piece in sealed[HEADER_BYTES..].chunks(30_000) {
            plain.extend(opener.push(piece)?.concat());
        }
        plain.extend(opener.finish()?);
        Ok(plain)
    }

    fn open(sealed: &[u8]) -> Result<Vec<u8>, Damaged> {
        open_as(sealed, CLINIC, "a")
    }

    #[test]
    fn a_blob_of_any_length_opens_to_what_was_sealed() {
        let header = Header::new(Uuid::nil()).unwrap();
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_000] {
            let sealed = seal(&header, &bytes(length));
            assert_eq!(open(&sealed).unwrap(), bytes(length), "{length}");
            assert_eq!(plain_bytes(sealed.len() as u64), Ok(length as u64), "{length}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let sealed = seal(&Header::new(Uuid::nil()).unwrap(), &bytes(70_000));
        // The data key's identifier is the one thing that is looked up and not part of the derivation here.
        let places = (0..16).chain(32..HEADER_BYTES).chain((HEADER_BYTES..sealed.len()).step_by(997));
        for place in places.chain([sealed.len() - 1]) {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(open(&changed), Err(Damaged), "byte {place}");
        }
    }

    #[test]
    fn a_cut_a_swap_and_a_repetition_are_noticed() {
        let sealed = seal(&Header::new(Uuid::nil()).unwrap(), &bytes(3 * CHUNK_BYTES));
        let chunk = |index: usize| HEADER_BYTES + index * SEALED_CHUNK_BYTES;
        for end in
            [0, 20, HEADER_BYTES, HEADER_BYTES + 5, chunk(1), chunk(2), chunk(2) + 100, sealed.len() - 1]
        {
            assert_eq!(open(&sealed[..end]), Err(Damaged), "cut at {end}");
        }
        let (first, second) = (sealed[chunk(0)..chunk(1)].to_vec(), sealed[chunk(1)..chunk(2)].to_vec());
        let swapped = [&sealed[..chunk(0)], &second, &first, &sealed[chunk(2)..]].concat();
        assert_eq!(open(&swapped), Err(Damaged));
        let repeated = [&sealed[..chunk(1)], &first, &sealed[chunk(1)..]].concat();
        assert_eq!(open(&repeated), Err(Damaged));
    }

    #[test]
    fn another_clinic_and_another_name_do_not_open() {
        let sealed = seal(&Header::new(Uuid::nil()).unwrap(), b"pixels");
        assert_eq!(open_as(&sealed, ClinicId::new(), "a"), Err(Damaged));
        assert_eq!(open_as(&sealed, CLINIC, "b"), Err(Damaged));
    }

    #[test]
    fn a_range_needs_the_chunks_that_it_touches() {
        let chunk = CHUNK_BYTES as u64;
        let sealed = HEADER_BYTES as u64 + 2 * SEALED_CHUNK_BYTES as u64 + 26;
        let span = |range| Span::of(&range, sealed).unwrap();
        assert_eq!(plain_bytes(sealed), Ok(2 * chunk + 10));
        let inner = span(10..20).unwrap();
        assert_eq!((inner.first, inner.end, inner.within), (0, End::Earlier, (10, 10)));
        assert_eq!(inner.sealed, 71..71 + 65_552, "the header has 71 bytes, a chunk 65,536 and its tag 16");
        let across = span(chunk - 1..chunk + 1).unwrap();
        assert_eq!((across.first, across.end, across.sealed.end), (0, End::Earlier, 71 + 2 * 65_552));
        let to_the_end = span(2 * chunk..u64::MAX).unwrap();
        assert_eq!((to_the_end.first, to_the_end.end, to_the_end.within), (2, End::OfBlob, (0, 10)));
        assert_eq!(to_the_end.sealed.end, sealed);
        assert_eq!(span(5..5), None);
        assert_eq!(span(2 * chunk + 10..u64::MAX), None);
        assert_eq!(Span::of(&(0..1), 70), Err(Damaged));
        assert_eq!(Span::of(&(0..1), HEADER_BYTES as u64), Err(Damaged), "even an empty blob has a chunk");
    }
}
