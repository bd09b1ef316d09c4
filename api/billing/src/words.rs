//! Words that are stored and shown as they are spelled.

/// An enum of words, each with its text; reads back from it, and is shown in JSON and OpenAPI as it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $column:literal { $($(#[$each:meta])* $variant:ident = $text:tt,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name {
            $($(#[$each])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// As it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = storage::db::DbError;

            fn from_str(text: &str) -> Result<Self, storage::db::DbError> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(storage::db::DbError::Corrupt($column.to_owned())),
                }
            }
        }
    };
}

pub(crate) use words;
