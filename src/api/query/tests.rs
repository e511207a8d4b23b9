//! What is taken for a query, and what becomes of what an alert says in it.

use proptest::prelude::*;

use super::*;

fn query(text: &str) -> Query {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Query>() {
        Ok(_) => panic!("{text} is taken"),
        Err(error) => error.to_string(),
    }
}

fn labels(value: &str) -> Labels {
    [("pod", value), ("namespace", "shop")].into_iter().collect()
}

/// Reads the string at the beginning of a text as PromQL does; gives it, and what is left.
///
/// After `strutil.Unquote` of Prometheus: in quotes an escape is one of Go's, of the quotes only the one that the string is
/// in, and no newline may stand there.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut rest = &text[1..];
    let mut value = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        if c == quote {
            return Some((String::from_utf8(value).ok()?, rest));
        }
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            value.extend(c.to_string().bytes());
            continue;
        }
        let escape = rest.chars().next()?;
        rest = &rest[escape.len_utf8()..];
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let number = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            rest = &rest[digits..];
            match escape {
                'x' => value.push(u8::try_from(number).ok()?),
                _ => value.extend(char::from_u32(number)?.to_string().bytes()),
            }
            continue;
        }
        value.push(match escape {
            '\\' => b'\\',
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            same if same == quote => u8::try_from(same).ok()?,
            _ => return None,
        });
    }
}

proptest! {
    #[test]
    fn whatever_a_label_says_is_read_back_as_it_is(value in ".{1,40}", quote in "[\"']") {
        let promql = query(&format!("up{{pod={quote}{{{{ $labels.pod }}}}{quote},a=\"b\"}} > 0")).about(&labels(&value)).unwrap();
        let string = promql.strip_prefix("up{pod=").unwrap();
        let (read, rest) = unquoted(string).unwrap();
        prop_assert_eq!(read, value);
        prop_assert_eq!(rest, ",a=\"b\"} > 0", "nothing of it got out of the string");
    }

    #[test]
    fn in_a_pattern_a_label_matches_itself_alone(value in "[a-z.*+?()|\\\\\"'\n\\[\\]{}^$-]{1,20}", other in "[a-z.*]{1,20}") {
        let promql = query("up{pod=~\"{{ $labels.pod }}\"}").about(&labels(&value)).unwrap();
        let (pattern, _) = unquoted(promql.strip_prefix("up{pod=~").unwrap()).unwrap();
        let pattern = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        prop_assert!(pattern.is_match(&value));
        prop_assert_eq!(pattern.is_match(&other), other == value);
    }

    #[test]
    fn no_text_makes_it_panic_and_what_is_taken_is_kept_as_it_is(text in ".{0,60}") {
        if let Ok(query) = text.parse::<Query>() {
            prop_assert_eq!(query.to_string(), text);
        }
    }
}

#[test]
fn labels_are_put_into_strings() {
    let asked = query("sum(up{namespace=\"{{ $labels.namespace }}\", pod='{{$labels.pod}}'}) >= 3");
    assert_eq!(asked.about(&labels("cart-1")).unwrap(), "sum(up{namespace=\"shop\", pod='cart-1'}) >= 3");
    let plain = "sum(up{job=\"shop\"}) >= 3 # \"a comment";
    assert_eq!(query(plain).about(&Labels::default()).unwrap(), plain);
    let missing = query("up{a=\"{{ $labels.team }}\"} > 0").about(&labels("cart-1")).unwrap_err();
    assert_eq!(missing.to_string(), "the alert has no label `team`, which the query asks for");
}

#[test]
fn a_pattern_may_have_more_than_the_label() {
    let asked = query("up{pod=~\"{{ $labels.pod }}-.*\", job!~ 'a{{ $labels.pod }}'}");
    assert_eq!(asked.about(&labels("a.b")).unwrap(), r#"up{pod=~"a\\.b-.*", job!~ 'aa\\.b'}"#);
}

#[test]
fn a_comparison_with_bool_says_no_by_itself() {
    for says_no in ["sum(up) >= bool 3", "a ==bool b", "a\n>\nBOOL b"] {
        assert!(query(says_no).says_no(), "{says_no}");
    }
    for leaves_nothing in ["sum(up) >= 3", "up{bool=\"> bool\"} > 0", "sum by (bool) (up) > 0", "up > 0 # > bool"] {
        assert!(!query(leaves_nothing).says_no(), "{leaves_nothing}");
    }
}

#[test]
fn what_is_no_query_is_refused_with_what_to_do() {
    assert_eq!(refused(" \n"), "the query is empty");
    assert_eq!(refused(&"a".repeat(LONGEST + 1)), "the query has 4097 bytes; it may have 4096");
    assert_eq!(refused("up{a=\"b} > 0"), "a string in the query begins with \" and does not end");
    assert_eq!(refused("up{a='b\n'} > 0"), "a string in the query begins with ' and does not end");
    assert_eq!(refused("sum(up"), "`(` in the query has no counterpart");
    assert_eq!(refused("up} > 0"), "`}` in the query has no counterpart");
    assert_eq!(refused("sum(up]"), "`]` in the query has no counterpart");
    for wrong in ["{{ labels.pod }}", "{{ $labels }}", "{{ $value }}", "{{ $labels.a-b }}", "{{ $labels. }}"] {
        let said = refused(&format!("up{{a=\"{wrong}\"}}"));
        assert_eq!(
            said,
            format!("`{wrong}` cannot be put into the query; write {{{{ $labels.NAME }}}} for a label of the alert")
        );
    }
    let outside = "{{ $labels.a }} stands outside of a string in double or single quotes; what an alert says can be put there \
                   only";
    assert_eq!(refused("up > {{ $labels.a }}"), outside);
    assert_eq!(refused("up{a=`{{ $labels.a }}`}"), outside, "where nothing is escaped");
}
