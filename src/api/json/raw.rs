//! Owns the step from text to the bounds of what stands in it: items of an array, members of an object. What is beyond a
//! limit is walked over and not kept: a value costs memory many times its bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The first `MOST` items of an array.
#[derive(Debug)]
pub(crate) struct Items<'a, const MOST: usize> {
    pub(crate) items: Vec<&'a RawValue>,
    /// Whether there are more.
    pub(crate) is_over: bool,
}

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Items<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for Collect<MOST> {
            type Value = Items<'de, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let (mut items, mut is_over) = (Vec::new(), false);
                while items.len() < MOST {
                    let Some(item) = seq.next_element::<&'de RawValue>()? else { return Ok(Items { items, is_over }) };
                    items.push(item);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    is_over = true;
                }
                Ok(Items { items, is_over })
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// The first `MOST` members of an object in order, duplicates included.
pub(super) struct Members<'a, const MOST: usize> {
    pub(super) members: Vec<(Name<'a>, &'a RawValue)>,
    /// Whether there are more.
    pub(super) is_over: bool,
}

/// A member's name, borrowed where it has no escape.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Take)
    }
}

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Members<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for Collect<MOST> {
            type Value = Members<'de, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut members, mut is_over) = (Vec::with_capacity(10), false);
                while members.len() < MOST {
                    let Some(member) = map.next_entry::<Name<'de>, &'de RawValue>()? else {
                        return Ok(Members { members, is_over });
                    };
                    members.push(member);
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    is_over = true;
                }
                Ok(Members { members, is_over })
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
