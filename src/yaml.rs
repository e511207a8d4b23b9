//! Reading one YAML (or JSON) document into a type, with a position for whatever is wrong.
//!
//! Takes text; gives a value, or one [`FileProblem`] that names file, line, column, field and the nearest known name.
//! It never reads a file itself.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// Something wrong with a file. Displays as `file:line:column: field: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// The field, as a path such as `spec.steps[0].verify`.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl FileProblem {
    /// A problem of a file as a whole.
    pub fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, field: None, message: message.into() }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        match &self.field {
            Some(field) => write!(f, ": {field}: {}", self.message),
            None => write!(f, ": {}", self.message),
        }
    }
}

/// Reads one document; `file` is only for the message.
pub fn parse<T: DeserializeOwned>(file: &Path, document: &str) -> Result<T, FileProblem> {
    let mut field = None;
    serde_saphyr::with_deserializer_from_str(document, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            // What could not even be told apart as a field is a question mark.
            let path = error.path().to_string();
            field = Some(path.trim_end_matches(['.', '?']).to_owned()).filter(|path| !path.is_empty());
            error.into_inner()
        })
    })
    .map_err(|error| {
        let error = error.without_snippet();
        let location = error.location();
        let message = match error {
            serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown_field(field, expected),
            serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => unknown_variant(variant, expected),
            other => message(other),
        };
        FileProblem {
            file: file.to_owned(),
            line: location.map(|location| location.line()),
            column: location.map(|location| location.column()),
            field,
            message,
        }
    })
}

/// What to say about a field that there is none of.
pub fn unknown_field(field: &str, known: &[&'static str]) -> String {
    format!("there is no field `{field}`{}", nearest(field, known))
}

/// What to say about a word that is none of the known ones.
pub fn unknown_variant(variant: &str, known: &[&'static str]) -> String {
    format!("`{variant}` is none of {}{}", known.join(", "), nearest(variant, known))
}

/// `; did you mean X?` where one of the known names is near.
pub fn nearest(name: &str, known: &[&'static str]) -> String {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// The parser's own message, on one line and without the position, which is said before it.
fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::{MessageFormatter, UserMessageFormatter};
    UserMessageFormatter.format_message(error).replace('\n', " ")
}
