//! As much of TOML as our manifests and `tidy.toml` use: sections, and keys with one-line values.

/// One section of a manifest.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// The text between the brackets, without quotes; empty before the first section.
    pub(crate) name: String,
    /// The line of the header, from 1.
    pub(crate) line: usize,
    /// Key, raw value and line of each entry.
    pub(crate) entries: Vec<Entry>,
}

/// One `key = value`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key up to its first dot: `tokio.workspace = true` has the key `tokio`.
    pub(crate) key: String,
    /// The value as written.
    pub(crate) value: String,
    /// The line, from 1.
    pub(crate) line: usize,
}

impl Section {
    /// Returns the value of `key` without its quotes.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(entry.value.trim_matches('"'))
    }
}

/// Splits a manifest into its sections.
pub(crate) fn parse(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    for (line, raw) in (1..).zip(text.lines()) {
        let content = raw.trim();
        if let Some(header) = content.strip_prefix('[') {
            let name = header.trim_start_matches('[').split(']').next().unwrap_or_default();
            let name = name.replace(['\'', '"'], "");
            sections.push(Section { name, line, entries: Vec::new() });
        } else if let Some((key, value)) = content.split_once('=')
            && !content.starts_with('#')
        {
            let key = key.split('.').next().unwrap_or_default().trim().to_owned();
            let entry = Entry { key, value: value.trim().to_owned(), line };
            sections.last_mut().expect("begins with one section").entries.push(entry);
        }
    }
    sections
}
