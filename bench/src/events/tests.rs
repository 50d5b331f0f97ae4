use super::{Template, event, number_of};

#[test]
fn every_event_is_an_object_of_about_a_kilobyte() {
    for number in 0..200 {
        let event = event(number);
        assert!((850..1150).contains(&event.len()), "{} bytes", event.len());
        let value: serde_json::Value = serde_json::from_slice(&event).unwrap();
        assert!(value.is_object());
    }
}

#[test]
fn a_template_takes_another_number_in_place() {
    let mut template = Template::new(3);
    let renumbered = template.numbered(987_654_321).to_vec();
    assert_eq!(renumbered.len(), event(3).len());
    assert_eq!(number_of(&renumbered).unwrap(), 987_654_321);
}
