//! From YAML text to a protocol, with errors at their lines; and the protocols that come with
//! Heptad.

use std::sync::{Arc, LazyLock};

use heptad_config::{Node, Problem, Problems, parse_yaml};
use heptad_core::{NoOptions, OptionsError};

use crate::{
    Described, Origin,
    compile::{Complaint, compile},
    model::Description,
    table::Table,
};

/// A description that was compiled.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub(crate) table: Arc<Table>,
}

impl Protocol {
    /// The protocol that a description describes, or everything that is wrong with it.
    pub fn new(description: &Description) -> Result<Self, Vec<Complaint>> {
        compile(description).map(|table| Self { table: Arc::new(table) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.table.name
    }
}

/// Reads a description; `file` is its name in messages.
pub fn read(file: &str, text: &str) -> Result<(Description, Protocol), Problems> {
    let root = parse_yaml(file, text)?;
    let fail = |list| Problems::of(file, text, list);
    let description = root.deserialize_all::<Description>().map_err(fail)?;
    let protocol = Protocol::new(&description)
        .map_err(|wrong| fail(wrong.iter().map(|one| problem(&root, one)).collect()))?;
    Ok((description, protocol))
}

/// What is wrong with the description that stands at a node of a configuration.
pub fn check(node: &Node) -> Vec<Problem> {
    match node.deserialize_all::<Description>() {
        Ok(description) => match Protocol::new(&description) {
            Ok(_) => Vec::new(),
            Err(wrong) => wrong.iter().map(|one| problem(node, one)).collect(),
        },
        Err(problems) => problems,
    }
}

fn problem(root: &Node, one: &Complaint) -> Problem {
    Problem::new(root.at(&one.path).span(), &one.message, &one.cure)
}

/// `codec: { frame: … }`: a description of the operator's own.
#[derive(Debug)]
#[non_exhaustive]
pub struct Own;

/// A codec with a description of the operator's own.
pub type Frame = Described<Own>;

impl Origin for Own {
    const NAME: &'static str = "frame";
    type Options = Description;

    fn protocol(options: &Description) -> Result<Protocol, OptionsError> {
        Protocol::new(options).map_err(|wrong| match wrong.into_iter().next() {
            Some(one) => OptionsError::new(one.path, format!("{}: {}", one.message, one.cure)),
            None => OptionsError::new("", "this describes no protocol"),
        })
    }
}

/// The protocols that come with Heptad: their names and descriptions.
pub const SHIPPED: [(&str, &str); 3] = [
    ("awesomerpc", include_str!("../protocols/awesomerpc.yaml")),
    ("bolt", include_str!("../protocols/bolt.yaml")),
    ("trpc", include_str!("../protocols/trpc.yaml")),
];

/// A protocol that comes with Heptad.
macro_rules! shipped {
    ($($(#[$doc:meta])* $codec:ident $origin:ident = $name:literal,)*) => {$(
        $(#[$doc])*
        pub type $codec = Described<$origin>;

        /// Where the codec of this name has its description from.
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $origin;

        impl Origin for $origin {
            const NAME: &'static str = $name;
            type Options = NoOptions;

            fn protocol(_: &NoOptions) -> Result<Protocol, OptionsError> {
                static READ: LazyLock<Result<Protocol, String>> = LazyLock::new(|| {
                    let text = include_str!(concat!("../protocols/", $name, ".yaml"));
                    let file = concat!($name, ".yaml");
                    read(file, text).map(|(_, read)| read).map_err(|wrong| wrong.to_string())
                });
                READ.clone().map_err(|wrong| OptionsError::new("", wrong))
            }
        }
    )*};
}

shipped! {
    /// AwesomeRPC, described.
    AwesomeRpc AwesomeRpcOrigin = "awesomerpc",
    /// SOFABolt, versions 1 and 2.
    Bolt BoltOrigin = "bolt",
    /// tRPC: calls and streams.
    Trpc TrpcOrigin = "trpc",
}
