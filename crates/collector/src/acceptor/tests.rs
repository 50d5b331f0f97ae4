use super::*;

#[test]
fn a_refusal_announces_the_length_it_has() {
    let text = std::str::from_utf8(TOO_MANY).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    serde_json::from_str::<serde_json::Value>(body).expect("JSON");
}

#[test]
fn only_errors_that_pass_are_waited_out() {
    let check = |errno, one, exhausted| {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!((is_of_one_connection(&error), is_exhausted(&error)), (one, exhausted));
    };
    let (econnaborted, emfile, enfile, ebadf) = (103, 24, 23, 9);
    check(econnaborted, true, false);
    check(emfile, false, true);
    check(enfile, false, true);
    check(ebadf, false, false);
}
