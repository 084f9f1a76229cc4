use proptest::prelude::*;

use super::*;

const WILD: Syntax = Syntax {
    wildcards: true,
    variables: true,
};

fn matches(pattern: &str, text: &str) -> bool {
    let steps = Steps::new(1_000_000);
    let context = Context::new()
        .with("aws:username", "a*e")
        .with_many("x:many", ["v"]);
    Pattern::parse(pattern, WILD)
        .unwrap()
        .matches(text, Case::Sensitive, &context, &steps)
        .unwrap_or(false)
}

/// Slow and obviously right.
fn reference(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
        Some(('?', rest)) => !text.is_empty() && reference(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && reference(rest, &text[1..]),
    }
}

#[test]
fn wildcards_match_runs_and_single_characters() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("?", "", false),
        ("?", "ä", true),
        ("?", "💡", true),
        ("??", "ä", false),
        ("a*", "a\nb", true),
        ("*b", "ab\n", false),
        ("a*b*c", "a1b2b3c", true),
        ("*a?c", "aacabc", true),
        ("*?*", "", false),
        ("*aab", "aaab", true),
        ("*ab*ab", "ab", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text:?}");
    }
}

#[test]
fn what_a_variable_stands_for_is_literal() {
    assert!(matches("${aws:username}", "a*e"));
    assert!(!matches("${aws:username}", "alice"));
    assert!(matches("*${AWS:UserName}?", "x/a*e1"));
    assert!(matches("${*}${?}${$}", "*?$"));
    assert!(!matches("${*}", "x"));
    assert!(matches("$a$", "$a$"));
}

#[test]
fn defaults_stand_in_for_missing_and_multivalued_keys() {
    assert!(matches("${x:none, 'd*'}", "d*"));
    assert!(!matches("${x:none, 'd*'}", "dd"));
    assert!(matches("${x:none,''}", ""));
    assert!(matches("${x:many, 'd'}", "d"));
    assert!(!matches("${x:many}", "v"));
    assert!(!matches("${x:none}*", "anything"));
    assert!(matches("${aws:username, 'd'}", "a*e"));
}

#[test]
fn malformed_variables_are_refused() {
    for text in [
        "${",
        "${}",
        "${a",
        "${a b}",
        "${a,b}",
        "${a, 'b}",
        "${a, 'b'",
        "${a, 'b' }",
        "${a${b}}",
        "${ a}",
        "${,'b'}",
        "${a*}",
        "${**}",
    ] {
        assert!(Pattern::parse(text, WILD).is_err(), "{text}");
    }
}

#[test]
fn without_variables_the_text_is_literal() {
    let syntax = Syntax {
        wildcards: true,
        variables: false,
    };
    let pattern = Pattern::parse("${aws:username}/*", syntax).unwrap();
    let steps = Steps::new(1000);
    let matched = pattern.matches(
        "${aws:username}/x",
        Case::Sensitive,
        &Context::new(),
        &steps,
    );
    assert_eq!(matched, Ok(true));
}

#[test]
fn fields_are_cut_outside_variables() {
    let fields = Pattern::parse_fields("arn:aws:iam::${aws:x}:role:x:y", WILD).unwrap();
    assert_eq!(fields.len(), 6);
    assert_eq!(fields[5], Pattern::parse("role:x:y", WILD).unwrap());
    assert_eq!(
        Pattern::parse_fields("${aws:x, 'a:b'}", WILD)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn adversarial_patterns_stay_linear() {
    for length in [1_000_usize, 5_000, 50_000] {
        let text = "a".repeat(length);
        for pattern in [
            format!("{}b", "*a".repeat(length)),
            format!("{}b*", "*a".repeat(length)),
            format!("{}b*", "a*".repeat(length / 2)),
            format!("{}b*", "*?".repeat(length)),
            format!("{}*b*", "?*".repeat(length / 2)),
        ] {
            let steps = Steps::new(u64::MAX);
            let compiled = Pattern::parse(&pattern, WILD).unwrap();
            let matched = compiled.matches(&text, Case::Sensitive, &Context::new(), &steps);
            assert_eq!(matched, Ok(false));
            let used = u64::MAX - steps.left();
            let linear = 4 * (pattern.len() + text.len()) as u64;
            assert!(used <= linear, "{used} steps for {length}");
        }
    }
}

#[test]
fn the_worst_pattern_ends_at_the_step_limit() {
    let pattern = format!("*{}b*", "a?".repeat(20_000));
    let steps = Steps::new(100_000);
    let compiled = Pattern::parse(&pattern, WILD).unwrap();
    let text = "a".repeat(100_000);
    let matched = compiled.matches(&text, Case::Sensitive, &Context::new(), &steps);
    assert_eq!((matched, steps.left()), (Ok(false), 0));
}

#[test]
fn case_is_ignored_behind_a_star_too() {
    let ignoring = |pattern: &str, text: &str| {
        let steps = Steps::new(1000);
        let pattern = Pattern::parse(pattern, WILD).unwrap();
        pattern.matches(text, Case::Ignored, &Context::new(), &steps) == Ok(true)
    };
    assert!(ignoring("S3:*OBJECT", "s3:GetObject"));
    assert!(ignoring("s3:*OBJ*t", "S3:GETOBJECT"));
    assert!(!ignoring("s3:*bucket", "s3:GetObject"));
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_slow_one(pattern in "[ab*?ä]{0,9}", text in "[abä]{0,9}") {
        let slow = reference(
            &pattern.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(matches(&pattern, &text), slow);
    }

    #[test]
    fn case_is_ignored_for_ascii_letters(text in "[a-zA-Z0-9]{0,12}") {
        let pattern = Pattern::parse(&text, WILD).unwrap();
        let other = text.to_ascii_uppercase();
        let steps = Steps::new(1000);
        prop_assert_eq!(
            pattern.matches(&other, Case::Ignored, &Context::new(), &steps), Ok(true)
        );
    }

    #[test]
    fn no_pattern_panics(text in "[$\\{\\}a'*?, :\u{e4}]{0,24}") {
        let _ = Pattern::parse(&text, WILD);
        let _ = Pattern::parse_fields(&text, WILD);
    }
}
