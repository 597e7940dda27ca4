//! What an AVIF picture's header says beside its pixels.

/// Whether the picture is put together from several, turned or mirrored by its header: ffmpeg's older releases give the
/// first part as it lies.
pub fn is_composed(bytes: &[u8]) -> bool {
    let meta = boxes(bytes).find(|(kind, _)| *kind == b"meta").map_or(&[][..], |(_, inside)| inside);
    // Four bytes of version and flags come first. The boxes that name items and their properties hold no pixels.
    boxes(meta.get(4..).unwrap_or_default()).any(|(kind, inside)| match kind {
        b"iinf" => inside.windows(4).any(|name| name == b"grid"),
        b"iprp" => inside.windows(4).any(|name| name == b"irot" || name == b"imir"),
        _ => false,
    })
}

/// The boxes that lie one behind the other: names and contents. What is cut off ends them.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, inside) = rest.split_first_chunk::<4>()?;
        // 0 goes to the end; 1 is followed by a size of eight bytes, which no header needs.
        let length = match u32::from_be_bytes(*size) as usize {
            0 => inside.len(),
            size => size.checked_sub(8)?,
        };
        let (inside, after) = inside.split_at_checked(length)?;
        bytes = after;
        Some((kind, inside))
    })
}

#[cfg(test)]
mod tests {
    use super::is_composed;

    fn part(kind: &[u8; 4], inside: &[u8]) -> Vec<u8> {
        [&(inside.len() as u32 + 8).to_be_bytes()[..], kind, inside].concat()
    }

    #[test]
    fn parts_and_turns_are_seen_in_the_header_alone() {
        let file = |items: &[u8], properties: &[u8], pixels: &[u8]| {
            let meta = [&[0; 4][..], &part(b"iinf", items), &part(b"iprp", properties)].concat();
            [part(b"ftyp", b"avif\0\0\0\0"), part(b"meta", &meta), part(b"mdat", pixels)].concat()
        };
        assert!(!is_composed(&file(b"infe av01", b"ispe av1C", b"grid irot imir")));
        assert!(is_composed(&file(b"infe grid", b"ispe", b"")));
        assert!(is_composed(&file(b"infe av01", b"ispe irot", b"")));
        assert!(is_composed(&file(b"infe av01", b"imir", b"")));
        let whole = file(b"infe grid", b"ispe irot", b"");
        for end in 0..whole.len() {
            // Cut anywhere, it says something without a panic.
            is_composed(&whole[..end]);
        }
    }
}
