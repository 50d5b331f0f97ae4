use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn batch(records: &[Record<'_>]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    for record in records {
        builder.push(*record);
    }
    builder.finish()
}

fn plain(value: &[u8]) -> Record<'_> {
    let timestamp = Timestamp::from_millis(7);
    Record { timestamp, key: None, value: Some(value), headers: Headers::EMPTY }
}

type Parts = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn any_parts() -> impl Strategy<Value = Parts> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let headers = prop::collection::vec(("[a-z.]{1,12}", bytes()), 0..4);
    (any::<i64>(), prop::option::of(bytes()), prop::option::of(bytes()), headers)
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_built(parts in prop::collection::vec(any_parts(), 0..8)) {
        let headers: Vec<HeadersBuilder> = parts.iter().map(|(_, _, _, headers)| {
            headers.iter().fold(HeadersBuilder::new(), |builder, (name, value)| builder.with(name, value))
        }).collect();
        let records: Vec<Record<'_>> = parts.iter().zip(&headers).map(|((time, key, value, _), headers)| Record {
            timestamp: Timestamp::from_millis(*time),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: headers.as_headers(),
        }).collect();
        let built = batch(&records);
        let decoded = RecordBatch::decode(built.as_bytes().clone(), built.len()).unwrap();
        prop_assert_eq!(decoded.iter().collect::<Vec<_>>(), records);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_u32..5) {
        if let Ok(batch) = RecordBatch::decode(Bytes::from(bytes), count) {
            prop_assert_eq!(batch.iter().count(), count as usize);
        }
    }
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    let whole = batch(&[plain(b"one"), plain(b"two")]);
    for cut in 0..whole.as_bytes().len() {
        assert!(RecordBatch::decode(whole.as_bytes().slice(..cut), 2).is_err(), "cut at {cut}");
    }
}

#[test]
fn skip_and_take_split_between_records() {
    let whole = batch(&[plain(b"a"), plain(b"bb"), plain(b"ccc")]);
    let values = |batch: &RecordBatch| -> Vec<Vec<u8>> {
        batch.iter().map(|record| record.value.unwrap().to_vec()).collect()
    };
    assert_eq!(values(&whole.skip(1)), [b"bb".to_vec(), b"ccc".to_vec()]);
    assert_eq!(values(&whole.take(1)), [b"a".to_vec()]);
    assert!(whole.skip(3).is_empty());
    assert_eq!(whole.take(9).len(), 3);
}

#[test]
fn a_tombstone_is_not_an_empty_value() {
    let tombstone = Record { value: None, ..plain(b"") };
    let batch = batch(&[tombstone, plain(b"")]);
    let values: Vec<_> = batch.iter().map(|record| record.value).collect();
    assert_eq!(values, [None, Some(&b""[..])]);
}
