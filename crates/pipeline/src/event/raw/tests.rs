use super::*;

#[test]
fn strings_are_unescaped() {
    let check = |json: &'static str, expected: Result<&str, LoneSurrogate>| {
        let value = RawValue::from_checked(json).as_str().expect("a string");
        assert_eq!(value.as_deref(), expected.as_deref(), "{json}");
    };
    check(r#""plain""#, Ok("plain"));
    check(r#""\"\\\/\b\f\n\r\t""#, Ok("\"\\/\u{8}\u{c}\n\r\t"));
    check(r#""\u0041\u00e9\ud83d\ude00""#, Ok("Aé😀"));
    check(r#""\ud83d""#, Err(LoneSurrogate));
    check(r#""\ude00""#, Err(LoneSurrogate));
    check(r#""\ud83dx""#, Err(LoneSurrogate));
    check(r#""\ud83d\u0041""#, Err(LoneSurrogate));
}

#[test]
fn what_is_pushed_is_read_back() {
    for text in ["", "plain", "\"\\\n\u{0}\u{1f}", "é😀", "\u{7f}"] {
        let mut json = String::new();
        push_string(&mut json, text);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(RawValue::from_checked(&json).as_str(), Some(Ok(Cow::Borrowed(text))));
    }
}
