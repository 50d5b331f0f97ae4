//! What is taken with how much room.

use millstream_model::ByteSize;

use super::{Class, Level, Room};
use crate::journal::Config;

fn check(bytes_used: u64, disk_free: u64, expected: Level) {
    let config =
        Config { bytes_max: ByteSize(1000), disk_free_min: ByteSize(100), ..Config::default() };
    assert_eq!(Room { bytes_used, disk_free }.level(&config), expected);
}

#[test]
fn levels_close_one_after_the_other_as_the_budget_fills() {
    check(900, 1000, Level::Open);
    check(901, 1000, Level::IntakeClosed);
    check(941, 1000, Level::ProcessorsClosed);
    check(971, 1000, Level::PositionsOnly);
}

#[test]
fn levels_close_one_after_the_other_as_the_disk_fills() {
    check(0, 100, Level::Open);
    check(0, 99, Level::IntakeClosed);
    check(0, 49, Level::ProcessorsClosed);
    check(0, 24, Level::PositionsOnly);
}

#[test]
fn positions_are_always_taken() {
    for byte in 0..4 {
        let level = Level::from_byte(byte);
        assert_eq!(level.to_byte(), byte);
        assert!(level.takes(Class::Positions));
    }
    assert!(!Level::PositionsOnly.takes(Class::DeadLetters));
}
