//! What printed bytes become, whatever they are and however they come.

use proptest::prelude::*;

use super::*;

/// The lines of some bytes that come in chunks of these sizes, over and over. A part that goes on
/// ends in `…`.
fn lines_of_chunks(bytes: &[u8], sizes: &[usize]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut all = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (mut chunk, after) = rest.split_at(rest.len().min(*size));
        while let Some(line) = lines.next(&mut chunk) {
            all.push(line);
        }
        assert!(chunk.is_empty());
        assert!(lines.line.len() <= MAX_LINE && lines.character.len() < 4);
        assert!(lines.sequence.len() <= MAX_SEQUENCE + 1);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    all.extend(std::iter::from_fn(|| lines.finish()));
    assert!(all.iter().all(|line| line.text.len() <= MAX_LINE));
    let shown = |line: Line| line.text + if line.continues { "…" } else { "" };
    all.into_iter().map(shown).collect()
}

fn lines(bytes: impl AsRef<[u8]>) -> Vec<String> {
    lines_of_chunks(bytes.as_ref(), &[usize::MAX])
}

#[test]
fn lines_end_with_a_newline_or_a_return_or_both() {
    assert_eq!(lines("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
    assert_eq!(lines("\n\r\n\n"), ["", "", ""]);
    assert_eq!(lines("a\n\nb\r\n\r\n"), ["a", "", "b", ""]);
    assert_eq!(lines(""), Vec::<String>::new());
}

#[test]
fn a_character_cut_off_by_the_end_of_a_full_line_does_not_make_it_too_long() {
    let mut bytes = vec![b'x'; MAX_LINE];
    bytes.extend(b"\xe2\nnext");
    let full = "x".repeat(MAX_LINE) + "…";
    assert_eq!(lines(bytes), [full.as_str(), "\u{fffd}", "next"]);
}

#[test]
fn a_return_with_nothing_before_it_makes_no_line() {
    assert_eq!(
        lines("\r10 %\r20 %\r\rdone\r\r\n"),
        ["10 %", "20 %", "done"]
    );
    assert_eq!(lines("\r10 %\r\x1b[K20 %\r\x1b[K\n"), ["10 %", "20 %"]);
}

#[test]
fn colours_stay_and_other_sequences_go() {
    for colours in [
        "\x1b[m",
        "\x1b[1;31m",
        "\x1b[38:2::255:0:0m",
        "\x1b[38;5;9m",
    ] {
        assert_eq!(lines(format!("a{colours}b")), [format!("a{colours}b")]);
    }
    for removed in [
        "\x1b[2J",
        "\x1b[1;1H",
        "\x1b[?25l",
        "\x1b[>4m",
        "\x1b[1 m",
        "\x1b[1\x18",
        "\x1b[1\x1b[2K",
        "\x1b]0;title\x07",
        "\x1b]8;;https://example.org\x1b\\",
        "\x1bP1$r0m\x1b\\",
        "\x1b_application\x1b\\",
        "\x1bc",
        "\x1b(B",
        "\x07\x08\x0b\x0c\x0e\x7f\0",
        "\u{9b}\u{90}\u{85}",
        "\u{202e}\u{2066}",
    ] {
        assert_eq!(lines(format!("a{removed}b")), ["ab"], "{removed:?}");
    }
    assert_eq!(lines(format!("a\x1b[{}mb", "1;".repeat(40))), ["ab"]);
}

#[test]
fn a_sequence_without_an_end_ends_with_its_line() {
    for begun in [
        "\x1b",
        "\x1b[",
        "\x1b[31",
        "\x1b]0;title",
        "\x1bPq",
        "\x1b(",
        "\x1b_",
    ] {
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(lines(format!("a{begun}{end}b")), ["a", "b"], "{begun:?}");
        }
    }
}

#[test]
fn what_is_not_utf_8_is_replaced() {
    assert_eq!(
        lines(b"a\xffb\xc3\nc\xe2\x82\rd\xf0\x9f\x92"),
        ["a�b�", "c�", "d�"]
    );
    assert_eq!(lines(b"\xe2\x28\xa1 \xc3\x1b[1m"), ["�(� �\x1b[1m"]);
}

#[test]
fn text_passes_as_it_is() {
    let text = "tabs\tand  spaces, ünïcödé, 漢字, 👩‍💻, e\u{301}, \u{a0}\u{200d}";
    assert_eq!(lines(text), [text]);
}

#[test]
fn a_long_line_is_split_at_a_character_outside_of_colours() {
    let fits = "x".repeat(MAX_LINE);
    assert_eq!(lines(&fits).concat(), fits);
    assert_eq!(lines(format!("{fits}\nb")), [fits.clone(), "b".to_owned()]);
    assert_eq!(
        lines(format!("{fits}y")),
        [format!("{fits}…"), "y".to_owned()]
    );
    for whole in ["é", "\x1b[31m"] {
        let before = "x".repeat(MAX_LINE - 1);
        let expected = [format!("{before}…"), format!("{whole}y")];
        assert_eq!(lines(format!("{before}{whole}y\n")), expected);
    }
}

#[test]
fn a_line_of_20_megabytes_comes_in_parts_and_is_never_held() {
    let line = "0123456789abcdef".repeat(20 * 64 * 1024);
    // The chunks check what is held.
    let parts = lines_of_chunks(line.as_bytes(), &[7, 64 * 1024, 1000]);
    assert_eq!(parts.len(), line.len() / MAX_LINE);
    assert_eq!(parts.concat().replace('…', ""), line);
}

#[test]
fn a_line_keeps_no_more_memory_than_it_needs() {
    let mut lines = Lines::default();
    let mut input = &[b"x".repeat(MAX_LINE), b"yz\n".to_vec()].concat()[..];
    assert_eq!(
        lines.next(&mut input).map(|part| part.text.capacity()),
        Some(MAX_LINE)
    );
    assert!(
        lines
            .next(&mut input)
            .is_some_and(|line| line.text.capacity() < 100)
    );
}

/// Bytes that are likely to mean something, likely beside each other.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(vec![
        "\x1b", "\x1b[", "\x1b]", "\x1bP", "m", "31;", "?", "\x07", "\\", "\n", "\r", "\r\n",
        "\u{202e}", "\u{9b}", "é", "👍", "\t", "\x18",
    ]);
    let piece = prop_oneof![
        20 => any::<u8>().prop_map(|byte| vec![byte]),
        20 => "[\\PC]{0,3}".prop_map(String::into_bytes),
        40 => telling.prop_map(|text| text.as_bytes().to_vec()),
        // About as much as a line may have.
        1 => (MAX_LINE - 5..MAX_LINE + 5).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn is_fit_to_show(line: &str) -> bool {
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().unwrap_or_default();
    let after_colours = pieces.filter_map(|piece| {
        piece
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':')
            .strip_prefix('m')
    });
    let texts: Vec<_> = std::iter::once(first).chain(after_colours).collect();
    texts.len() == line.split("\x1b[").count() && texts.concat().chars().all(is_printable)
}

fn is_printable(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character == '\t' || !(character.is_control() || turns)
}

proptest! {
    #[test]
    fn any_bytes_become_lines_that_are_fit_to_show(bytes in bytes()) {
        for line in lines(bytes) {
            prop_assert!(is_fit_to_show(&line), "{line:?}");
        }
    }

    #[test]
    fn without_its_colours_a_line_is_the_text_around_them(
        texts in prop::collection::vec("[a-zäöü \t]{0,9}", 1..9),
        colours in prop::collection::vec("[0-9;:]{0,9}", 9),
    ) {
        let coloured = texts.iter().zip(colours).map(|(text, colour)| format!("\x1b[{colour}m{text}"));
        prop_assert_eq!(plain(&coloured.collect::<String>()), texts.concat());
    }

    #[test]
    fn how_the_bytes_are_chunked_changes_nothing(
        bytes in bytes(),
        sizes in prop::collection::vec(1..50_000_usize, 1..5),
        small in prop::collection::vec(1..5_usize, 1..5),
    ) {
        let whole = lines(&bytes);
        prop_assert_eq!(&lines_of_chunks(&bytes, &sizes), &whole);
        prop_assert_eq!(&lines_of_chunks(&bytes, &small), &whole);
    }

    #[test]
    fn printable_text_passes_as_it_is(
        lines_before in prop::collection::vec(prop::collection::vec(any::<char>(), 0..80), 0..20),
    ) {
        let printable = |line: Vec<char>| line.into_iter().filter(|c| is_printable(*c)).collect();
        let before: Vec<String> = lines_before.into_iter().map(printable).collect();
        let printed: String = before.iter().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(lines(printed), before);
    }
}
