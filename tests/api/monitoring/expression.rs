//! Which numbers, with which labels, an expression of Prometheus's is about.

use std::collections::BTreeSet;

/// The metrics and selectors of an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// The metrics, each with the labels by which its series are selected.
    pub(super) metrics: Vec<(String, BTreeSet<String>)>,
    /// The labels by which series are grouped or matched.
    pub(super) groups: BTreeSet<String>,
}

const WORDS: [&str; 8] = [
    "and", "or", "unless", "bool", "offset", "inf", "nan", "atan2",
];
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Reads an expression that Prometheus has accepted.
pub(super) fn uses(expression: &str) -> Uses {
    let mut uses = Uses::default();
    let mut rest = expression;
    // Whose labels are being named, if any are.
    let (mut selects, mut groups) = (false, false);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"').unwrap();
            rest = &rest[end + 2..];
        } else if first == '[' {
            let end = rest.find(']').unwrap();
            rest = &rest[end..];
        } else if first.is_ascii_digit() {
            // A number, or a time such as `5m`.
            let is_of_it = |next: char| next.is_ascii_alphanumeric() || next == '.';
            rest = rest.trim_start_matches(is_of_it);
        } else if first.is_ascii_alphabetic() || first == '_' {
            let is_of_it = |next: char| next.is_ascii_alphanumeric() || "_:".contains(next);
            let end = rest.find(|next| !is_of_it(next)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            if selects {
                uses.metrics.last_mut().unwrap().1.insert(word.to_owned());
            } else if groups {
                uses.groups.insert(word.to_owned());
            } else if GROUPING.contains(&word) {
                groups = true;
            } else if !rest.starts_with('(') && !WORDS.contains(&word) && !follows_grouping(rest) {
                uses.metrics.push((word.to_owned(), BTreeSet::new()));
            }
        } else {
            match first {
                '{' => selects = true,
                '}' => selects = false,
                ')' => groups = false,
                _ => {}
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    uses
}

/// Returns whether a function precedes, as in `sum by (status) (...)`.
fn follows_grouping(rest: &str) -> bool {
    ["by", "without"]
        .iter()
        .any(|word| rest.starts_with(&format!("{word} (")))
}

#[test]
fn an_expression_is_read() {
    let set = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let metrics = |found: &[(&str, &[&str])]| {
        let found = found
            .iter()
            .map(|(name, labels)| ((*name).to_owned(), set(labels)));
        found.collect::<Vec<_>>()
    };
    let read = uses(
        "sum by (le, store) (rate(a_bucket{x=~\"y or z\", le!=\"1\"}[5m])) > 0.05 * b offset 5m",
    );
    assert_eq!(
        read.metrics,
        metrics(&[("a_bucket", &["x", "le"]), ("b", &[])])
    );
    assert_eq!(read.groups, set(&["le", "store"]));
    let read = uses("a / on (i) group_left (v) b{c=\"d\"} or vector(0)");
    assert_eq!(read.metrics, metrics(&[("a", &[]), ("b", &["c"])]));
    assert_eq!(read.groups, set(&["i", "v"]));
}
