//! Finds a key that an object has twice, at any level, without trusting a hash.
//!
//! The keys of all open objects lie on one stack. A small object compares each new key with its
//! earlier ones; a large one sorts them once at its end. Both need no hash, so there is nothing
//! for an attacker to collide: the worst case is `n log n` comparisons of bytes that were sent.

/// Objects with more keys than this are sorted at their end instead of compared on the way.
const COMPARED_KEYS_MAX: usize = 24;

/// A key of an object that is still open.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// The first eight bytes, zero-padded: decides most comparisons, and sorts like the bytes.
    prefix: u64,
    /// Where the value of the key lies: in the text, or in the arena when it had escapes.
    start: u32,
    len: u32,
    /// Where the key's opening quote stands.
    at: u32,
    in_arena: bool,
}

/// The keys of all open objects.
#[derive(Debug, Default)]
pub(super) struct Keys {
    stack: Vec<Key>,
    /// For each open object, where its keys begin on the stack.
    objects: Vec<u32>,
    /// The values of keys that were written with escapes.
    arena: Vec<u8>,
}

/// The entries kept allocated between events; a giant event does not pin its memory.
const RETAINED_KEYS_MAX: usize = 4096;

impl Keys {
    pub(super) fn clear(&mut self) {
        self.stack.clear();
        self.objects.clear();
        self.arena.clear();
        self.stack.shrink_to(RETAINED_KEYS_MAX);
        self.arena.shrink_to(RETAINED_KEYS_MAX);
        self.objects.shrink_to(RETAINED_KEYS_MAX);
    }

    pub(super) fn open_object(&mut self) {
        self.objects.push(narrow(self.stack.len()));
    }

    /// Adds a key that stands in the text at `start..end`, its quote at `at`; tells whether the
    /// object is known to have it already.
    pub(super) fn add_plain(&mut self, text: &[u8], start: usize, end: usize) -> bool {
        let prefix = prefix_of(&text[start..end]);
        let (start, len) = (narrow(start), narrow(end - start));
        self.add(text, Key { prefix, start, len, at: start - 1, in_arena: false })
    }

    /// Adds a key whose value had escapes, its quote at `at`; see [`Keys::add_plain`].
    pub(super) fn add_unescaped(&mut self, text: &[u8], value: &[u8], at: usize) -> bool {
        let start = narrow(self.arena.len());
        self.arena.extend_from_slice(value);
        let len = narrow(value.len());
        let prefix = prefix_of(value);
        self.add(text, Key { prefix, start, len, at: narrow(at), in_arena: true })
    }

    fn add(&mut self, text: &[u8], key: Key) -> bool {
        let begin = self.objects.last().map_or(0, |begin| *begin as usize);
        let earlier = &self.stack[begin..];
        let compared = earlier.len() < COMPARED_KEYS_MAX;
        let found = compared
            && earlier.iter().any(|other| {
                other.prefix == key.prefix
                    && other.len == key.len
                    && (key.len <= 8 || self.value(text, *other) == self.value(text, key))
            });
        self.stack.push(key);
        found
    }

    /// Ends the innermost object; returns the place of the first key that repeats an earlier one,
    /// if the object was too large to tell on the way.
    pub(super) fn close_object(&mut self, text: &[u8]) -> Option<usize> {
        let begin = self.objects.pop().expect("an object that closes was opened") as usize;
        let repeated = if self.stack.len() - begin > COMPARED_KEYS_MAX {
            self.find_repeated(text, begin)
        } else {
            None
        };
        self.stack.truncate(begin);
        repeated
    }

    fn find_repeated(&mut self, text: &[u8], begin: usize) -> Option<usize> {
        let mut stack = std::mem::take(&mut self.stack);
        let keys = &mut stack[begin..];
        keys.sort_unstable_by(|a, b| {
            let values = || self.value(text, *a).cmp(self.value(text, *b));
            a.prefix.cmp(&b.prefix).then_with(values).then(a.at.cmp(&b.at))
        });
        let same = |pair: &&[Key]| {
            pair[0].prefix == pair[1].prefix
                && self.value(text, pair[0]) == self.value(text, pair[1])
        };
        let repeated = keys.windows(2).filter(same).map(|pair| pair[1].at as usize).min();
        self.stack = stack;
        repeated
    }

    fn value<'a>(&'a self, text: &'a [u8], key: Key) -> &'a [u8] {
        let bytes = if key.in_arena { &self.arena } else { text };
        &bytes[key.start as usize..][..key.len as usize]
    }
}

/// Returns the first eight bytes, zero-padded, so that numbers compare like the bytes do.
fn prefix_of(value: &[u8]) -> u64 {
    match value.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..value.len()].copy_from_slice(value);
            u64::from_be_bytes(chunk)
        }
    }
}

/// Narrows a place in a body.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).expect("bodies are bounded far below 4 GiB")
}
