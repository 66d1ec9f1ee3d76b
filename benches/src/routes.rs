//! Finding a route among few and many.

use std::hint::black_box;

use heptad_core::{Attr, Attributes, Unknown, Value};
use heptad_route::{Expr, Scratch, Table, Text};

use crate::Case;

struct Request(String);

impl Attributes for Request {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        Ok(match attr {
            Attr::Service => Some(Value::Bytes(self.0.as_bytes())),
            _ => None,
        })
    }
}

fn name(n: u32) -> String {
    format!("org.example.bookinfo.Service{n:07}")
}

pub(crate) fn cases() -> Vec<Case> {
    [10, 1_000, 100_000]
        .into_iter()
        .map(|routes| {
            let rule = |n| Expr::Attr(Attr::Service, Text::Exact(name(n)));
            let rules: Vec<Expr> = (0..routes).map(rule).collect();
            let table = Table::compile(&rules).unwrap_or_else(|e| panic!("{e}"));
            let mut scratch = Scratch::default();
            let mut request = Request(name(routes - 1));
            Case::new(format!("route/{routes}"), move || {
                let found = table.find(&mut scratch, black_box(&mut request));
                assert_eq!(black_box(found), Some(routes as usize - 1));
            })
        })
        .collect()
}
