//! `codec: { frame: … }` in a configuration: how its description is judged, and how a file that it
//! names takes its place. It knows where descriptions are, not what they say.

use std::path::Path;

use heptad_config::{Model, Node, OptionsRule, Problem, Problems, parse_yaml};
use heptad_core::Codec as _;
use heptad_described::{Frame, model::Description};
use serde_json::json;

/// A description, or the name of its file.
pub(crate) fn rule() -> OptionsRule {
    let mut inline = schemars::schema_for!(Description).to_value();
    // Definitions are only found at the top.
    let definitions = inline.as_object_mut().and_then(|object| object.remove("$defs"));
    let file = json!({ "type": "string", "description": "The file with the description." });
    let schema = json!({ "anyOf": [file, inline], "$defs": definitions });
    OptionsRule::new(schema, |node| match node.text() {
        // Its problems are shown where they are: in that file.
        Some(_) => Vec::new(),
        // Nothing stands for the name alone, too.
        None if node.get("frames").is_none()
            && node.get("versions").is_none()
            && node.get("name").is_none() =>
        {
            let cure = "write `codec: { frame: FILE }`, or the description in its place";
            vec![Problem::new(node.span(), "`frame` needs a description", cure)]
        }
        None => heptad_described::check(node),
    })
    .several()
}

/// A cluster has no options for it.
pub(crate) fn none() -> OptionsRule {
    OptionsRule::of::<heptad_core::NoOptions>(|_| Ok(()))
}

/// Puts the descriptions of files in the place of their names. A name that is not absolute counts
/// from the configuration's folder.
pub(crate) fn resolve(file: &str, text: &str, model: &mut Model) -> Result<(), Problems> {
    for listener in &mut model.listeners {
        let own = (&listener.codec, &mut listener.codec_options);
        let also = listener.also.iter_mut().map(|(name, options)| (&*name, options));
        for (codec, options) in std::iter::once(own).chain(also) {
            if codec == Frame::NAME {
                read_into(options, file, text)?;
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for (codec, options) in listener.protocols() {
            let name = protocol_name(codec, options);
            if seen.contains(&name) {
                let message = format!("two protocols of the listener are called {name}");
                let cure = "give one of the descriptions another `name`: rules and metrics tell \
                            protocols apart by it";
                let problem = Problem::new(listener.span, message, cure);
                return Err(Problems::of(file, text, vec![problem]));
            }
            seen.push(name);
        }
    }
    Ok(())
}

/// A description's text as a codec and its options; `file` is its name in messages.
pub fn description(file: &str, text: &str) -> Result<(&'static str, Node), Problems> {
    heptad_described::read(file, text)?;
    Ok((Frame::NAME, parse_yaml(file, text)?))
}

/// Puts the description of a file in the place of the file's name.
fn read_into(options: &mut Option<Node>, file: &str, text: &str) -> Result<(), Problems> {
    let Some(node) = options else { return Ok(()) };
    let Some(name) = node.text() else { return Ok(()) };
    let path = Path::new(file).parent().unwrap_or(Path::new("")).join(name);
    let shown = path.display().to_string();
    let description = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("{shown} cannot be read: {error}");
        let cure = "name a file with a description; it counts from the configuration's folder";
        Problems::of(file, text, vec![Problem::new(node.span(), message, cure)])
    })?;
    *options = Some(self::description(&shown, &description)?.1);
    Ok(())
}

/// What a protocol of a listener is called in rules, metrics and logs.
pub fn protocol_name<'a>(codec: &'a str, options: Option<&'a Node>) -> &'a str {
    let own = options.filter(|_| codec == Frame::NAME);
    own.and_then(|node| node.get("name")).and_then(Node::text).unwrap_or(codec)
}
