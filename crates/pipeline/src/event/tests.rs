use super::*;

/// Applies `edit` to the event in `json` and returns its output.
fn edited(json: &str, edit: impl FnOnce(&mut Event<'_>)) -> String {
    let mut buffers = EventBuffers::new();
    let mut event = buffers.read(json.as_bytes(), Limits::default()).expect("the test's event");
    edit(&mut event);
    let mut out = Vec::new();
    event.write_to(&mut out);
    String::from_utf8(out).expect("events are UTF-8")
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("the test's path")
}

fn refused(json: impl AsRef<[u8]>) -> Malformed {
    EventBuffers::new().read(json.as_ref(), Limits { depth_max: 4 }).expect_err("must be refused")
}

#[test]
fn an_untouched_event_is_copied_with_its_white_space() {
    let json = " {\n \"a\" : 1 , \"b\":{ } } ";
    assert_eq!(edited(json, |event| assert!(!event.is_changed())), json);
}

#[test]
fn reading_leaves_an_event_unchanged() {
    let json = r#"{"a": {"b" : {"c": 1 } } }"#;
    let out = edited(json, |event| {
        assert_eq!(event.get(&path("a.b.c")).unwrap().unwrap().text(), "1");
        assert_eq!(event.get(&path("a.b")).unwrap().unwrap().text(), r#"{"c": 1 }"#);
        assert_eq!(event.get(&path("a.x")).unwrap(), None);
        assert_eq!(event.get(&path("a.b.c.d")).unwrap(), None);
        assert!(!event.is_changed());
    });
    assert_eq!(out, json);
}

#[test]
fn edits_keep_the_bytes_around_them() {
    let json = r#"{"a" : 1, "b":  "x" ,"c":[1, 2],"d":null}"#;
    let set = |name: &'static str, value: &'static str| {
        edited(json, |event| event.set(&path(name), |json| json.push_str(value)).unwrap())
    };
    assert_eq!(set("a", "9"), r#"{"a":9,"b":  "x" ,"c":[1, 2],"d":null}"#);
    assert_eq!(set("c", "9"), r#"{"a" : 1, "b":  "x","c":9,"d":null}"#);
    assert_eq!(set("new", "9"), r#"{"a" : 1, "b":  "x" ,"c":[1, 2],"d":null,"new":9}"#);
    assert_eq!(set("n.m", "9"), r#"{"a" : 1, "b":  "x" ,"c":[1, 2],"d":null,"n":{"m":9}}"#);
    assert_eq!(set("d.e", "9"), r#"{"a" : 1, "b":  "x" ,"c":[1, 2],"d":{"e":9}}"#);
}

#[test]
fn fields_are_removed_wherever_they_stand() {
    let json = r#"{"a":1, "b":2, "c":3}"#;
    let remove = |names: &'static [&'static str]| {
        edited(json, |event| {
            for name in names {
                assert!(event.remove(&path(name)).unwrap(), "{name} is there");
                assert!(!event.remove(&path(name)).unwrap(), "{name} is gone");
            }
        })
    };
    assert_eq!(remove(&["a"]), r#"{"b":2, "c":3}"#);
    assert_eq!(remove(&["b"]), r#"{"a":1,"c":3}"#);
    assert_eq!(remove(&["c"]), r#"{"a":1, "b":2}"#);
    assert_eq!(remove(&["a", "b", "c"]), "{}");
}

#[test]
fn a_field_moves_between_objects_with_its_bytes() {
    let json = r#"{"context":{"app" : {"v": 1 },"b":2},"z":0}"#;
    let out = edited(json, |event| {
        assert_eq!(event.rename(&path("context.app"), &path("x.y")).unwrap(), Renamed::Moved);
        assert_eq!(event.rename(&path("nothing"), &path("y")).unwrap(), Renamed::Missing);
        assert_eq!(event.rename(&path("z"), &path("x")).unwrap(), Renamed::TargetExists);
    });
    assert_eq!(out, r#"{"context":{"b":2},"z":0,"x":{"y":{"v": 1 }}}"#);
}

#[test]
fn a_changed_object_is_read_and_moved_as_it_is_now() {
    let out = edited(r#"{"a":{"b":1}}"#, |event| {
        event.set(&path("a.c"), |json| json.push('2')).unwrap();
        assert_eq!(event.get(&path("a")).unwrap().unwrap().text(), r#"{"b":1,"c":2}"#);
        assert_eq!(event.rename(&path("a"), &path("d")).unwrap(), Renamed::Moved);
        assert!(event.remove(&path("d.b")).unwrap());
    });
    assert_eq!(out, r#"{"d":{"c":2}}"#);
}

#[test]
fn a_parent_that_is_no_object_is_not_overwritten() {
    let out = edited(r#"{"a":5}"#, |event| {
        let error = event.set(&path("a.b"), |json| json.push('1')).unwrap_err();
        assert_eq!(error.to_string(), "a parent of `a.b` is not an object");
    });
    assert_eq!(out, r#"{"a":5}"#);
}

#[test]
fn a_key_written_with_escapes_has_its_plain_name() {
    let out = edited(r#"{"user\u005fid":"u", "k\"q":1}"#, |event| {
        assert_eq!(event.get(&path("user_id")).unwrap().unwrap().text(), r#""u""#);
        event.set(&path("k\"q"), |json| json.push('2')).unwrap();
    });
    assert_eq!(out, r#"{"user\u005fid":"u","k\"q":2}"#);
}

#[test]
fn a_key_that_occurs_twice_is_refused() {
    let twice = |key: &str| Malformed::DuplicateKey { key: key.to_owned() };
    assert_eq!(refused(r#"{"a":1,"b":2,"a":3}"#), twice("a"));
    assert_eq!(refused(r#"{"user_id":1,"user\u005fid":2}"#), twice("user_id"));
    let many: String = (0..1000).map(|key| format!("\"k{key}\":0,")).collect();
    assert_eq!(refused(format!("{{{many}\"k500\":1}}")), twice("k500"));
    let nested = r#"{"a":{"b":1,"b":2}}"#;
    edited(nested, |event| assert_eq!(event.get(&path("a.b")), Err(twice("b"))));
}

#[test]
fn many_different_keys_are_no_duplicates() {
    let many: Vec<String> = (0..2000).map(|key| format!("\"k{key}\":{key}")).collect();
    let json = format!("{{{}}}", many.join(","));
    edited(&json, |event| {
        assert_eq!(event.get(&path("k1999")).unwrap().unwrap().text(), "1999");
    });
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let check = |json: &[u8], expected: &str| {
        let reason = refused(json).to_string();
        assert!(reason.contains(expected), "{:?}: {reason}", String::from_utf8_lossy(json));
    };
    check(b"", "not a JSON object");
    check(b"  ", "not a JSON object");
    check(b"[1]", "not a JSON object");
    check(b"null", "not a JSON object");
    check(b"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6");
    check(b"{\"a\":{\"b\":[[[1]]]}}", "nested deeper than 4 levels");
    for malformed in [
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":tru}",
        "{\"a\":[1,]}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":{\"b\":}}",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "{}{}",
        "{\"a\":1.}",
        "{\"a\":-}",
        "{,}",
        "{\"a\":NaN}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":'x'}",
        "{} \u{0}",
    ] {
        check(malformed.as_bytes(), "malformed JSON at byte");
    }
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let json = r#"{"a":"[[[[[[[[[{{{{{{{{{{","b":"\"[[[[["}"#;
    let mut buffers = EventBuffers::new();
    assert!(buffers.read(json.as_bytes(), Limits { depth_max: 1 }).is_ok());
    let wide = format!("{{\"a\":[{}[]]}}", "[],".repeat(1000));
    assert!(buffers.read(wide.as_bytes(), Limits { depth_max: 3 }).is_ok());
}

#[test]
fn buffers_forget_the_event_before() {
    let mut buffers = EventBuffers::new();
    buffers.read(br#"{"a":{"b":1}}"#, Limits::default()).unwrap();
    assert!(buffers.read(b"{\"a\":", Limits::default()).is_err());
    let mut event = buffers.read(br#"{"c":1}"#, Limits::default()).unwrap();
    assert_eq!(event.get(&path("a")).unwrap(), None);
    assert_eq!(event.get(&path("c")).unwrap().unwrap().text(), "1");
}

#[test]
fn paths_are_checked() {
    for text in ["", ".", "a.", ".a", "a..b"] {
        assert!(Path::parse(text).is_err(), "{text}");
    }
    assert!(Path::parse(&vec!["a"; PATH_SEGMENTS_MAX + 1].join(".")).is_err());
    assert!(path("a.b").contains(&path("a.b.c")));
    assert!(!path("a.b").contains(&path("a.bc")));
}

#[test]
fn an_object_that_was_moved_is_still_found_in_the_record() {
    let out = edited(r#"{"a":1,"b":{"c":{"d":2,"e":3}}}"#, |event| {
        assert_eq!(event.rename(&path("b.c"), &path("f")).unwrap(), Renamed::Moved);
        assert_eq!(event.get(&path("f.a")).unwrap(), None);
        assert_eq!(event.get(&path("f.e")).unwrap().unwrap().text(), "3");
        assert!(event.remove(&path("f.d")).unwrap());
    });
    assert_eq!(out, r#"{"a":1,"b":{},"f":{"e":3}}"#);
}
