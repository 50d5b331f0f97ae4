use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::memory::MemoryStore;

const FAMILY: FamilyId = FamilyId(3);

/// A write of a small universe: few keys and few times, so that they meet.
#[derive(Debug, Clone)]
struct Write {
    key: u8,
    entry: Option<(u8, Option<i64>)>,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let entry = proptest::option::of((any::<u8>(), proptest::option::of(0..4_i64)));
    let write = (0..6_u8, entry).prop_map(|(key, entry)| Write { key, entry });
    proptest::collection::vec(write, 0..24)
}

fn entry_of((value, due): (u8, Option<i64>)) -> Entry {
    Entry { value: [value].into(), due: due.map(Timestamp::from_millis) }
}

type Model = BTreeMap<Vec<u8>, Entry>;

fn apply(writes: &[Write], batch: &mut WriteBatch, model: &mut Model) {
    for Write { key, entry } in writes {
        let key = vec![*key];
        match entry {
            Some(entry) => {
                batch.put(FAMILY, key.as_slice().into(), entry_of(*entry));
                model.insert(key, entry_of(*entry));
            }
            None => {
                batch.delete(FAMILY, key.as_slice().into());
                model.remove(&key);
            }
        }
    }
}

fn listed(entries: Entries<'_>) -> Vec<(Vec<u8>, Entry)> {
    entries.map(|item| item.map(|(key, entry)| (key.to_vec(), entry)).unwrap()).collect()
}

fn due_in(model: &Model, until: Timestamp) -> Vec<(Vec<u8>, Entry)> {
    let due = model.iter().filter(|(_, entry)| entry.due.is_some_and(|due| due <= until));
    let mut due: Vec<_> = due.map(|(key, entry)| (key.clone(), entry.clone())).collect();
    due.sort_by_key(|(key, entry)| (entry.due, key.clone()));
    due
}

proptest! {
    #[test]
    fn a_view_and_what_is_committed_are_like_one_sorted_map(rounds in proptest::collection::vec(writes(), 1..6)) {
        let mut store = MemoryStore::new(u64::MAX);
        let mut model = Model::new();
        let other = FamilyId(4);
        for writes in rounds {
            let mut batch = WriteBatch::new();
            batch.put(other, Key::from([0_u8]), Entry::due_at(b"other", Timestamp::EPOCH));
            apply(&writes, &mut batch, &mut model);
            let view = View::new(&store, &mut batch);
            for key in 0..7_u8 {
                prop_assert_eq!(view.get(FAMILY, &[key]).unwrap(), model.get(&vec![key]).cloned());
            }
            for keys in [KeyRange::all(), KeyRange::between(&[2], &[5]), KeyRange::prefix(&[3])] {
                let inside = model.iter().filter(|(key, _)| keys.contains(key));
                let inside: Vec<_> = inside.map(|(key, entry)| (key.clone(), entry.clone())).collect();
                prop_assert_eq!(listed(view.range(FAMILY, &keys).unwrap()), inside);
            }
            for until in (-1..5).map(Timestamp::from_millis) {
                prop_assert_eq!(listed(view.due(FAMILY, until).unwrap()), due_in(&model, until));
            }
            let after = store.bytes_after(&batch);
            store.commit(&batch, None).unwrap();
            // A second time changes nothing: positions may lag behind what is applied.
            store.commit(&batch, None).unwrap();
            prop_assert_eq!(store.info().bytes, after);
            prop_assert_eq!(store.info().entries, model.len() as u64 + 1);
            let until = Timestamp::from_millis(9);
            prop_assert_eq!(listed(store.due(FAMILY, until).unwrap()), due_in(&model, until));
            let all: Vec<_> = model.clone().into_iter().collect();
            prop_assert_eq!(listed(store.range(FAMILY, &KeyRange::all()).unwrap()), all);
        }
    }

    #[test]
    fn what_is_aborted_was_never_there(committed in writes(), aborted in writes()) {
        let mut store = MemoryStore::new(u64::MAX);
        let (mut batch, mut model) = (WriteBatch::new(), Model::new());
        apply(&committed, &mut batch, &mut model);
        store.commit(&batch, None).unwrap();
        let before = store.clone();
        batch.clear();
        apply(&aborted, &mut batch, &mut Model::new());
        batch.clear();
        prop_assert!(batch.is_empty() && batch.iter().next().is_none());
        store.commit(&batch, None).unwrap();
        prop_assert_eq!(store, before);
    }
}
