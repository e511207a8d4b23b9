//! A path to a field, as refusals name it: `spec.steps[0].verify`. It is a chain on the stack, and a text only where
//! something is wrong.

use std::fmt;

/// Where something is in an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// A field of what is there.
    Field(&'a Path<'a>, &'a str),
    /// An item of the list that is there.
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// Whether it is the object itself.
    pub const fn is_root(self) -> bool {
        matches!(self, Self::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_refusals_name_it() {
        let spec = Path::Field(&Path::Root, "spec");
        let steps = Path::Field(&spec, "steps");
        let first = Path::Item(&steps, 0);
        assert_eq!(Path::Field(&first, "verify").to_string(), "spec.steps[0].verify");
    }
}
