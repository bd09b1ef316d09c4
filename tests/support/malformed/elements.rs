//! Elements, written by hand so that they can lie.

pub fn even(text: &str, padding: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), padding);
    bytes
}

/// The four UIDs that make an instance.
pub fn identity() -> Vec<u8> {
    let mut set = Vec::new();
    short(&mut set, (0x0008, 0x0016), *b"UI", b"1.2.840.10008.5.1.4.1.1.7\0");
    short(&mut set, (0x0008, 0x0018), *b"UI", b"1.2.3.4\0");
    short(&mut set, (0x0020, 0x000D), *b"UI", b"1.2.3\0");
    short(&mut set, (0x0020, 0x000E), *b"UI", b"1.2.3.1\0");
    set
}

/// The Image Pixel Module.
pub fn image(
    colours: &str,
    (rows, columns): (u16, u16),
    (allocated, stored, high): (u16, u16, u16),
    signed: u16,
    frames: &str,
) -> Vec<u8> {
    let mut set = Vec::new();
    let samples: u16 = if colours.starts_with("MONO") || colours.starts_with("PAL") { 1 } else { 3 };
    let number = |set: &mut Vec<u8>, element, value: u16| {
        short(set, (0x0028, element), *b"US", &value.to_le_bytes());
    };
    number(&mut set, 0x0002, samples);
    short(&mut set, (0x0028, 0x0004), *b"CS", &even(colours, b' '));
    short(&mut set, (0x0028, 0x0008), *b"IS", &even(frames, b' '));
    for (element, value) in
        [(0x10, rows), (0x11, columns), (0x100, allocated), (0x101, stored), (0x102, high), (0x103, signed)]
    {
        number(&mut set, element, value);
    }
    set
}

pub fn short(set: &mut Vec<u8>, tag: (u16, u16), vr: [u8; 2], value: &[u8]) {
    head(set, tag);
    set.extend_from_slice(&vr);
    set.extend_from_slice(&(value.len() as u16).to_le_bytes());
    set.extend_from_slice(value);
}

pub fn long(set: &mut Vec<u8>, tag: (u16, u16), vr: [u8; 2], length: u32, value: &[u8]) {
    head(set, tag);
    set.extend_from_slice(&vr);
    set.extend_from_slice(&[0, 0]);
    set.extend_from_slice(&length.to_le_bytes());
    set.extend_from_slice(value);
}

fn head(set: &mut Vec<u8>, (group, element): (u16, u16)) {
    set.extend_from_slice(&group.to_le_bytes());
    set.extend_from_slice(&element.to_le_bytes());
}

pub fn encapsulated(set: &mut Vec<u8>, offsets: &[u32], fragments: &[&[u8]]) {
    let table: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    long(set, (0x7FE0, 0x0010), *b"OB", u32::MAX, &[]);
    for fragment in std::iter::once(table.as_slice()).chain(fragments.iter().copied()) {
        set.extend_from_slice(b"\xFE\xFF\x00\xE0");
        set.extend_from_slice(&(fragment.len() as u32).to_le_bytes());
        set.extend_from_slice(fragment);
    }
    set.extend_from_slice(b"\xFE\xFF\xDD\xE0\0\0\0\0");
}

/// A file of these bytes as data set.
pub fn file(transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    short(&mut meta, (2, 2), *b"UI", b"1.2.840.10008.5.1.4.1.1.7\0");
    short(&mut meta, (2, 3), *b"UI", b"1.2.3.4\0");
    short(&mut meta, (2, 0x10), *b"UI", &even(transfer_syntax, 0));
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    short(&mut file, (2, 0), *b"UL", &(meta.len() as u32).to_le_bytes());
    file.extend(meta);
    file.extend_from_slice(data_set);
    file
}
