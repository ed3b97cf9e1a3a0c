//! [`List`]: a list that remembers whether it was given at all.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A list that is null in JSON when nobody gave one and `[]` when somebody gave an empty one: Docker shows a container's
/// configuration as it was asked for. Reads as a slice either way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Some(items))
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Some(items.into_iter().collect()))
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    #[test]
    fn null_and_empty_are_kept_apart_and_read_alike() {
        for (text, given) in
            [("null", List::default()), ("[]", List::from(vec![])), ("[1]", List::from(vec![1_u8]))]
        {
            assert_eq!(serde_json::from_str::<List<u8>>(text).unwrap(), given);
            assert_eq!(serde_json::to_string(&given).unwrap(), text);
        }
        assert!(List::<u8>::default().is_empty());
    }
}
