//! Walks the fields of one object by its tokens.

use std::ops::Range;

use super::{Token, Tokens};

/// One field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::event) struct Entry {
    /// The key's bytes, quotes included.
    pub(in crate::event) key: Range<usize>,
    /// The value's bytes.
    pub(in crate::event) value: Range<usize>,
    /// The value's token: an object can be walked from there.
    pub(in crate::event) token: Token,
}

impl Tokens {
    /// Returns the fields of the object that begins at `object`, in the text that was read.
    pub(in crate::event) fn fields<'t>(
        &'t self,
        json: &'t [u8],
        object: Token,
    ) -> impl Iterator<Item = Entry> + use<'t> {
        let end = self.closes[object as usize];
        let mut token = object + 1;
        std::iter::from_fn(move || {
            if token >= end {
                return None;
            }
            // The grammar was checked: key, colon, value, and a comma or the end.
            let key = self.at(token)..end_of(json, self.at(token + 1));
            let value_token = token + 2;
            let start = self.at(value_token);
            let (last, end) = match json[start] {
                b'{' | b'[' => {
                    let close = self.closes[value_token as usize];
                    (close, self.at(close) + 1)
                }
                _ => (value_token, end_of(json, self.at(value_token + 1))),
            };
            token = last + 2;
            Some(Entry { key, value: start..end, token: value_token })
        })
    }

    #[inline]
    fn at(&self, token: Token) -> usize {
        self.places.as_slice()[token as usize] as usize
    }
}

/// Returns the end of the scalar before `next`, the place of the token after it.
#[inline]
fn end_of(json: &[u8], next: usize) -> usize {
    let mut end = next;
    while matches!(json[end - 1], b' ' | b'\t' | b'\n' | b'\r') {
        end -= 1;
    }
    end
}
