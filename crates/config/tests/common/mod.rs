//! Plugins that the tests' files may name.
#![allow(dead_code, reason = "not every test reads every option")]

use std::collections::BTreeMap;

use heptad_config::{OptionsRule, Plugins};
use heptad_core::{
    NoOptions, OptionsError,
    units::{self, Period, Size},
};
use heptad_route::Match;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dialect {
    #[default]
    Auto,
    Resp2,
    Resp3,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedisOptions {
    pub(crate) users: Vec<User>,
    pub(crate) dialect: Dialect,
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) databases: Option<u8>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedisUpstream {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    #[serde(default)]
    pub(crate) burst: u32,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Guard {
    pub(crate) deny: Vec<Match>,
    pub(crate) only: Option<Match>,
    pub(crate) every: Period,
    pub(crate) most: Size,
    pub(crate) speed: units::Rate,
}

pub(crate) fn plugins() -> Plugins {
    Plugins::new()
        .codec_named(
            "redis",
            OptionsRule::of::<RedisOptions>(|options| {
                match options.users.iter().position(|user| user.name.is_empty()) {
                    Some(i) => {
                        Err(OptionsError::new(format!("users.{i}.name"), "a user needs a name"))
                    }
                    None => Ok(()),
                }
            }),
            OptionsRule::of::<RedisUpstream>(|_| Ok(())),
        )
        .codec_named(
            "awesomerpc",
            OptionsRule::of::<NoOptions>(|_| Ok(())),
            OptionsRule::of::<NoOptions>(|_| Ok(())),
        )
        .filter("rate", OptionsRule::of::<Rate>(|_| Ok(())))
        .filter("guard", OptionsRule::of::<Guard>(|_| Ok(())))
}
