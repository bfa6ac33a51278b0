//! Owns the form of a closed list of names: an enum whose variants are known by one word each.

/// Makes the enum, with `ALL`, `name` and `parse`. A macro, because a variant, its meaning and its name stand in one
/// place, and a new one is in every list at once.
macro_rules! closed_list {
    ($(#[$doc:meta])* $list:ident { $($(#[$meaning:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list {
            $($(#[$meaning])* $variant,)+
        }

        impl $list {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name: what answers, settings and files call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of a name; `None` for a name that is not on the list.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(in crate::core) use closed_list;
