//! The section `lake`: where the tables lie.

use std::path::PathBuf;

use super::section::{Field, decode};
use super::value::Value;

/// Configuration of the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LakeConfig {
    /// The directory of the tables, which several workers may share; absent: `lake` in the data
    /// directory.
    pub(crate) path: Option<PathBuf>,
}

/// The keys of the section.
pub(crate) const FIELDS: &[Field<LakeConfig>] = &[Field {
    key: "path",
    apply: |c, v| v.text().map(|it| c.path = Some(PathBuf::from(it.value))),
}];

/// Decodes the section.
pub(crate) fn lake(value: &Value<'_>) -> Option<LakeConfig> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, |_| Ok(()));
    fields.finish();
    Some(config)
}
