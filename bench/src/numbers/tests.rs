use super::Numbers;

fn numbers(of: &[u64]) -> anyhow::Result<Numbers> {
    let mut numbers = Numbers::default();
    for number in of {
        numbers.add(*number)?;
    }
    Ok(numbers)
}

#[test]
fn all_numbers_once_are_as_expected() {
    numbers(&[2, 0, 1, 3]).unwrap().expect_exactly(4).unwrap();
}

#[test]
fn a_missing_a_repeated_and_a_foreign_number_are_noticed() {
    numbers(&[0, 2]).unwrap().expect_exactly(3).unwrap_err();
    numbers(&[0, 1, 1]).unwrap_err();
    numbers(&[0, 1, 70]).unwrap().expect_exactly(2).unwrap_err();
}
