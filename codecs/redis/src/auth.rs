//! Who may log in. Compares digests in constant time; knows neither frames nor connections.

mod sha256;

use sha256::sha256;

use crate::options::UserOptions;

/// The users of a listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users(Vec<User>);

#[derive(Clone, Debug)]
struct User {
    name: Box<str>,
    digest: [u8; 32],
}

/// What became of an attempt to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// As the user with this number.
    As(u16),
    /// There are no users, and the default one needs no password.
    Open,
    /// Wrong name or password.
    Wrong,
    /// There are no users, so that a password alone makes no sense.
    NoPassword,
}

impl Users {
    /// The users of the options; the same name may have several passwords.
    pub(crate) fn new(users: &[UserOptions]) -> Self {
        Self(
            users
                .iter()
                .map(|u| User { name: u.name.as_str().into(), digest: digest(u.password.reveal()) })
                .collect(),
        )
    }

    /// Whether nobody has to log in.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a user that `login` named.
    pub(crate) fn name(&self, number: u16) -> Option<&str> {
        self.0.get(usize::from(number)).map(|u| &*u.name)
    }

    /// Checks a name (`None`: the default user) and a password.
    pub(crate) fn login(&self, name: Option<&[u8]>, password: &[u8]) -> Login {
        if self.is_open() {
            return match name {
                None => Login::NoPassword,
                Some(b"default") => Login::Open,
                Some(_) => Login::Wrong,
            };
        }
        let name = name.unwrap_or(b"default");
        let given = sha256(password);
        let mut found = Login::Wrong;
        for (user, number) in self.0.iter().zip(0_u16..) {
            let differs = user.digest.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
            if user.name.as_bytes() == name && differs == 0 {
                found = Login::As(number);
            }
        }
        found
    }
}

/// Whether a configured password announces a digest and is none.
pub(crate) fn is_bad_digest(password: &str) -> bool {
    password.starts_with('#') && parse(password).is_none()
}

fn digest(password: &str) -> [u8; 32] {
    parse(password).unwrap_or_else(|| sha256(password.as_bytes()))
}

fn parse(password: &str) -> Option<[u8; 32]> {
    let hex = password.strip_prefix('#').filter(|h| h.len() == 64)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
        let (Some(high), Some(low)) = (pair.first().and_then(digit), pair.get(1).and_then(digit))
        else {
            return None;
        };
        *byte = high << 4 | low;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Secret;

    fn users(list: &[(&str, &str)]) -> Users {
        let list: Vec<_> = list
            .iter()
            .map(|(name, password)| UserOptions {
                name: (*name).into(),
                password: Secret::new(*password),
            })
            .collect();
        Users::new(&list)
    }

    #[test]
    fn passwords_are_plain_or_digests() {
        // SHA-256 of "secret".
        let digest = "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let users = users(&[("default", "a"), ("joe", digest), ("joe", "other")]);
        assert_eq!(users.login(None, b"a"), Login::As(0));
        assert_eq!(users.login(Some(b"joe"), b"secret"), Login::As(1));
        assert_eq!(users.login(Some(b"joe"), b"other"), Login::As(2));
        assert_eq!(users.login(Some(b"joe"), b"a"), Login::Wrong);
        assert_eq!(users.login(Some(b"x"), b"a"), Login::Wrong);
        assert_eq!(users.login(None, digest.as_bytes()), Login::Wrong);
        assert_eq!(users.name(1), Some("joe"));
        assert!(is_bad_digest("#12"));
        assert!(!is_bad_digest(digest) && !is_bad_digest("12"));
    }

    #[test]
    fn without_users_it_is_as_a_server_without_a_password() {
        let users = Users::default();
        assert_eq!(users.login(None, b"a"), Login::NoPassword);
        assert_eq!(users.login(Some(b"default"), b"a"), Login::Open);
        assert_eq!(users.login(Some(b"x"), b"a"), Login::Wrong);
    }
}
