use super::*;

/// 100 accepted, 90 read, 85 written, 3 rejected, 2 filtered, 80 stored.
fn facts() -> Facts {
    let tally = Tally { read: 90, written: 85, rejected: 3, filtered: 2, ..Tally::default() };
    let topic =
        |name: &str, end| TopicFacts { name: name.into(), end: Some(end), is_collected: false };
    Facts {
        sinks: vec![SinkFacts {
            name: "events".into(),
            table: "events".into(),
            from: "clean".into(),
            before: 0,
            registered: 80,
            stored: 80,
            rejected: 0,
            consumed: 80,
            dead_letters: "dead".into(),
            dead_lettered: 0,
            dead_lettered_before: 0,
            waiting: None,
        }],
        topics: vec![topic("clean", 85), topic("dead", 3)],
        pipelines: vec![PipelineFacts {
            name: "events".into(),
            from: "raw".into(),
            to: "clean".into(),
            dead_letters: "dead".into(),
            before: 0,
            consumed: 90,
            tally,
            tally_before: tally,
            accepted: 100,
            accepted_is_least: false,
        }],
        absent: Vec::new(),
        refused: Vec::new(),
    }
}

fn check_fault(change: impl FnOnce(&mut Facts), expected: &str) {
    let mut facts = facts();
    change(&mut facts);
    let books = reconcile(&facts);
    assert!(!books.balanced);
    assert!(books.faults.iter().any(|fault| fault.contains(expected)), "{:?}", books.faults);
}

#[test]
fn what_is_accepted_is_stored_dead_lettered_filtered_or_in_flight() {
    let books = reconcile(&facts());
    assert_eq!(books.faults, Vec::<String>::new());
    let line = &books.lines[0];
    assert_eq!((line.accepted, line.stored, line.in_flight), (100, 80, 10 + 5));
    assert_eq!(line.inflow(), line.outflow());
}

#[test]
fn a_row_that_was_lost_by_the_table_is_found() {
    check_fault(|facts| facts.sinks[0].stored = 79, "stored 79 and rejected 0, stands at 80");
}

#[test]
fn a_row_that_was_stored_twice_is_found() {
    check_fault(|facts| facts.sinks[0].stored = 81, "1 too many");
}

#[test]
fn a_record_that_a_topic_holds_twice_is_found() {
    check_fault(
        |facts| facts.topics[0].end = Some(86),
        "topic clean: holds 86, its writers count 85",
    );
}

#[test]
fn a_dead_letter_that_is_gone_is_found() {
    check_fault(|facts| facts.topics[1].end = Some(2), "topic dead: holds 2, its writers count 3");
}

#[test]
fn a_record_that_a_pipeline_dropped_silently_is_found() {
    check_fault(
        |facts| {
            facts.pipelines[0].tally.read = 91;
            facts.pipelines[0].consumed = 91;
        },
        "read + created + replayed is 91, written + rejected + filtered + deduplicated is 90",
    );
}

#[test]
fn a_position_that_ran_ahead_of_the_counts_is_found() {
    check_fault(|facts| facts.pipelines[0].consumed = 95, "counts 90 read, stands at 95");
}

#[test]
fn a_sink_that_stands_beyond_what_was_appended_is_found() {
    check_fault(
        |facts| {
            facts.sinks[0].registered = 90;
            facts.sinks[0].stored = 90;
            facts.sinks[0].consumed = 90;
        },
        "stands at 90, but only 85 were appended",
    );
}

#[test]
fn a_table_that_lost_commits_is_found() {
    check_fault(
        |facts| {
            facts.sinks[0].stored = 0;
            facts.sinks[0].consumed = 0;
        },
        "registered 80 in the log, its table events stands at 0",
    );
}

#[test]
fn records_appended_while_we_look_are_no_fault() {
    let mut facts = facts();
    facts.pipelines[0].tally.read += 5;
    facts.pipelines[0].tally.written += 5;
    facts.pipelines[0].consumed += 5;
    facts.topics[0].end = Some(87);
    let books = reconcile(&facts);
    assert_eq!(books.faults, Vec::<String>::new());
    assert_eq!(books.lines[0].in_flight, 5 + 10);
}

/// The same, with 40 records gone when the pipeline began and 30 when the sink did.
fn late() -> Facts {
    let mut facts = facts();
    let pipeline = &mut facts.pipelines[0];
    (pipeline.before, pipeline.consumed, pipeline.accepted) = (40, 130, 140);
    let sink = &mut facts.sinks[0];
    (sink.before, sink.stored) = (30, 50);
    facts
}

#[test]
fn what_was_gone_when_a_pipeline_or_a_sink_began_is_accounted_for_apart() {
    let books = reconcile(&late());
    assert_eq!(books.faults, Vec::<String>::new());
    let line = &books.lines[0];
    assert_eq!((line.accepted, line.before), (140, 40 + 30));
    assert_eq!((line.stored, line.dead_lettered, line.in_flight), (50, 3, 10 + 5));
    assert_eq!(line.inflow(), line.outflow());
}

#[test]
fn a_record_lost_after_a_late_beginning_is_found() {
    let check = |change: fn(&mut Facts), expected: &str| {
        let mut facts = late();
        change(&mut facts);
        let faults = reconcile(&facts).faults;
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{faults:?}");
    };
    check(
        |facts| facts.sinks[0].stored = 49,
        "stored 49 and rejected 0 since it began at 30, stands at 80",
    );
    check(
        |facts| facts.pipelines[0].consumed = 131,
        "counts 90 read since it began at 40, stands at 131",
    );
}

#[test]
fn a_pipeline_without_a_sink_counts_what_it_wrote() {
    let mut facts = facts();
    facts.sinks.clear();
    let books = reconcile(&facts);
    assert!(books.balanced, "{:?}", books.faults);
    assert_eq!((books.lines[0].sink.as_deref(), books.lines[0].stored), (None, 85));
}

/// The same on a log whose offsets do not count records.
fn counted() -> Facts {
    let mut facts = facts();
    facts.topics.iter_mut().for_each(|topic| topic.end = None);
    let waiting = Waiting { records: 5, is_all: true, before_is_known: true };
    facts.sinks[0].waiting = Some(waiting);
    facts
}

#[test]
fn where_offsets_do_not_count_what_waits_is_held_against_the_writers_counts() {
    let books = reconcile(&counted());
    assert_eq!(books.faults, Vec::<String>::new());
    let line = &books.lines[0];
    assert_eq!((line.accepted, line.stored, line.in_flight), (100, 80, 10 + 5));
    assert!(!line.at_least);
    for (records, is_all, is_fault) in [(4, true, true), (6, true, true), (4, false, false)] {
        let mut facts = counted();
        facts.sinks[0].waiting = Some(Waiting { records, is_all, before_is_known: true });
        let faults = reconcile(&facts).faults;
        assert_eq!(!faults.is_empty(), is_fault, "{records} {is_all}: {faults:?}");
    }
}

#[test]
fn records_appended_while_waiting_ones_are_counted_are_no_fault() {
    let mut facts = counted();
    facts.pipelines[0].tally.read += 5;
    facts.pipelines[0].tally.written += 5;
    facts.pipelines[0].consumed += 5;
    for records in [5, 7, 10] {
        facts.sinks[0].waiting = Some(Waiting { records, is_all: true, before_is_known: true });
        let books = reconcile(&facts);
        assert_eq!(books.faults, Vec::<String>::new());
        assert_eq!(books.lines[0].in_flight, 5 + 10);
    }
}

#[test]
fn a_backlog_too_large_to_be_counted_is_said_to_be_at_least_that() {
    let mut facts = counted();
    facts.pipelines[0].accepted_is_least = true;
    let books = reconcile(&facts);
    assert!(books.balanced && books.lines[0].at_least, "{books:?}");
}

#[test]
fn what_was_before_a_sink_began_is_what_remains_where_nobody_knows_it() {
    let mut facts = counted();
    (facts.sinks[0].stored, facts.sinks[0].consumed) = (50, 50);
    facts.sinks[0].registered = 50;
    facts.sinks[0].waiting = Some(Waiting { records: 5, is_all: true, before_is_known: false });
    let books = reconcile(&facts);
    assert_eq!(books.faults, Vec::<String>::new());
    assert_eq!((books.lines[0].before, books.lines[0].in_flight), (30, 10 + 5));
    facts.sinks[0].waiting = Some(Waiting { records: 36, is_all: true, before_is_known: false });
    assert!(!reconcile(&facts).balanced, "more than was ever written");
}

#[test]
fn what_a_spool_accepted_is_forwarded_refused_or_waits() {
    let spool = SpoolLine { accepted: 100, forwarded: 70, refused: 2, waiting: 25, before: 3 };
    let check = |spool: SpoolLine, expected: &str| {
        let mut books = reconcile(&facts());
        books.add_spool(spool);
        let faults = books.faults.join("; ");
        assert_eq!(books.balanced, expected.is_empty(), "{faults}");
        assert!(faults.contains(expected), "{faults}");
        assert_eq!(books.in_flight(), 15 + spool.waiting);
    };
    check(spool, "");
    check(SpoolLine { forwarded: 69, ..spool }, "99 are accounted for: 1 missing");
    check(SpoolLine { waiting: 26, ..spool }, "101 are accounted for: 1 too many");
}
