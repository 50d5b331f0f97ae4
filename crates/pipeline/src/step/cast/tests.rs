use super::super::StepConfig;
use super::super::tests::{Made, run};
use super::{Config, Type};

/// Checks what a value becomes; `None` when it must be rejected.
fn check(to: Type, cases: &[(&str, Option<&str>)]) {
    let step = StepConfig::Cast(Config { fields: vec![("a".to_owned(), to)] });
    for (value, expected) in cases {
        let made = run(&step, &format!("{{\"a\":{value}}}"));
        match expected {
            Some(expected) => assert_eq!(made, Made::Kept(format!("{{\"a\":{expected}}}"))),
            None => assert!(matches!(made, Made::Rejected(Some(_), _)), "{value}: {made:?}"),
        }
    }
}

#[test]
fn strings_are_made_of_scalars() {
    check(
        Type::String,
        &[
            ("\"x\\n\"", Some("\"x\\n\"")),
            ("1.50", Some("\"1.50\"")),
            ("true", Some("\"true\"")),
            ("null", Some("null")),
            ("[1]", None),
            ("{}", None),
        ],
    );
}

#[test]
fn whole_numbers_are_never_rounded_and_never_wrap() {
    check(
        Type::Int,
        &[
            ("\" 42 \"", Some("42")),
            ("2147483647", Some("2147483647")),
            ("2147483648", None),
            ("\"-2147483648\"", Some("-2147483648")),
            ("1.0", Some("1")),
            ("1.5", None),
            ("true", Some("1")),
        ],
    );
    check(
        Type::Long,
        &[
            ("9223372036854775807", Some("9223372036854775807")),
            ("9223372036854775808", None),
            ("\"-9223372036854775808\"", Some("-9223372036854775808")),
            ("1e3", Some("1000")),
            ("1.25e2", Some("125")),
            ("0.0e99", Some("0")),
            ("1e30", None),
            ("1e-1", None),
            ("\"+7\"", Some("7")),
            ("\"0x10\"", None),
            ("\"1_000\"", None),
            ("\"\"", None),
            ("\"-\"", None),
            ("\"NaN\"", None),
            ("\"1e999999999999\"", None),
            ("false", Some("0")),
            ("[]", None),
            ("null", Some("null")),
        ],
    );
}

#[test]
fn doubles_are_finite_and_keep_their_digits() {
    check(
        Type::Double,
        &[
            ("1.50", Some("1.50")),
            ("\"1.50\"", Some("1.50")),
            ("\".5\"", Some("0.5")),
            ("\"007\"", Some("7.0")),
            ("\"1e400\"", None),
            ("1e400", None),
            ("\"inf\"", None),
            ("\"nan\"", None),
            ("\"abc\"", None),
            ("true", None),
        ],
    );
}

#[test]
fn booleans_are_made_of_few_words() {
    check(
        Type::Boolean,
        &[
            ("true", Some("true")),
            ("1", Some("true")),
            ("0", Some("false")),
            ("\"True\"", Some("true")),
            ("\"FALSE\"", Some("false")),
            ("\"yes\"", None),
            ("2", None),
            ("\"\"", None),
        ],
    );
}
