//! What can be configured: on the listener who may log in and which module commands there are, on
//! the cluster how to log in to its servers.

use std::{collections::BTreeMap, fmt};

use heptad_core::OptionsError;

/// Options of a listener's `codec: { redis: … }` entry.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Who may log in. Without any, no login is asked for, as of a redis-server without a password.
    pub users: Vec<UserOptions>,
    /// Commands of modules that the built-in table does not know, by name.
    pub commands: BTreeMap<String, CommandOptions>,
}

/// A user who may log in.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct UserOptions {
    /// The name; `default` is who logs in with a password alone. Becomes `source.principal`.
    pub name: String,
    /// The password, or `#` and its SHA-256 in 64 hexadecimal digits.
    pub password: Secret,
}

/// What a module's command does.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CommandOptions {
    /// Which argument is the key, 1 to 8; 0 for none.
    pub key: u8,
    /// Whether it may change data.
    pub write: bool,
    /// Whether it leaves its connection as it was and does not wait, so that it may share a link.
    pub shared: bool,
}

/// Options of a cluster of Redis servers, under `redis:`.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisUpstream {
    /// The user to log in as; without it, the password is that of the default user.
    pub user: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// The database of clients that have not selected one.
    pub db: u32,
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl RedisOptions {
    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        for (i, user) in self.users.iter().enumerate() {
            let bad = |field: &str, text: &str| {
                Err(OptionsError::new(format!("users.{i}.{field}"), text))
            };
            if user.name.is_empty() || user.name.bytes().any(|b| b.is_ascii_whitespace()) {
                return bad("name", "a user needs a name without spaces");
            }
            if user.password.reveal().is_empty() {
                return bad("password", "a user needs a password");
            }
            if crate::auth::is_bad_digest(user.password.reveal()) {
                return bad(
                    "password",
                    "a password that begins with # is a SHA-256 of 64 hexadecimal digits",
                );
            }
        }
        Ok(())
    }
}
