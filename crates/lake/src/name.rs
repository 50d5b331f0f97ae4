//! The names of tables: safe as a directory, as an identifier in SQL and in every catalog.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest table name, in bytes.
const TABLE_NAME_BYTES_MAX: usize = 128;

/// The namespace all our tables live in.
pub const NAMESPACE: &str = "main";

/// A table's name: 1 to 128 of `a-z 0-9 _`, the first a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(Arc<str>);

/// A text that is no table name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a table name; use 1 to 128 of a-z 0-9 _, beginning with a letter")]
pub struct TableNameError {
    text: String,
}

impl TableName {
    /// Checks and takes a name.
    pub fn new(name: &str) -> Result<Self, TableNameError> {
        let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && name.len() <= TABLE_NAME_BYTES_MAX && name.bytes().all(legal) {
            Ok(Self(Arc::from(name)))
        } else {
            Err(TableNameError { text: name.chars().take(300).collect() })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableName({})", self.0)
    }
}
