//! A request for tests: attributes by name.

use std::{collections::BTreeMap, net::IpAddr};

use heptad_core::{Attr, Attributes, HeaderEdit, Request, Unknown, Value};

/// A value, or that it cannot be told.
#[derive(Debug)]
enum Is {
    Bytes(Vec<u8>),
    Ip(IpAddr),
    Number(u64),
    Unknown,
}

/// What is not set is absent.
#[derive(Debug, Default)]
pub(crate) struct Fake(BTreeMap<Attr, Is>, Option<u64>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn set(mut self, name: &str, is: Is) -> Self {
        self.0.insert(name.parse().expect(name), is);
        self
    }

    pub(crate) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.set(name, Is::Bytes(value.as_ref().to_vec()))
    }

    pub(crate) fn ip(self, name: &str, ip: &str) -> Self {
        self.set(name, Is::Ip(ip.parse().expect(ip)))
    }

    pub(crate) fn number(self, name: &str, n: u64) -> Self {
        self.set(name, Is::Number(n))
    }

    /// A request of this connection.
    pub(crate) fn of(mut self, connection: u64) -> Self {
        self.1 = Some(connection);
        self
    }

    pub(crate) fn unknown(self, name: &str) -> Self {
        self.set(name, Is::Unknown)
    }
}

impl Attributes for Fake {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        Ok(match self.0.get(attr) {
            None => None,
            Some(Is::Bytes(bytes)) => Some(Value::Bytes(bytes)),
            Some(Is::Ip(ip)) => Some(Value::Ip(*ip)),
            Some(Is::Number(n)) => Some(Value::Number(*n)),
            Some(Is::Unknown) => return Err(Unknown),
        })
    }
}

impl Request for Fake {
    fn keys(&mut self, _: &mut dyn FnMut(&[u8])) -> Result<(), Unknown> {
        Ok(())
    }

    fn connection(&self) -> Option<u64> {
        self.1
    }

    fn edit(&mut self, _: HeaderEdit) {}
}
