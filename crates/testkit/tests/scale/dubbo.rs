//! Dubbo: replies by id, in any order, on shared links.

use heptad_dubbo::{
    Dubbo as Codec,
    wire::{self, Message, Outcome, Value},
};

use crate::tongue::{Asked, Said, Tongue, Verb};

#[derive(Default)]
pub(crate) struct Dubbo;

const TEXT: &str = "Ljava/lang/String;";

impl Tongue for Dubbo {
    type Codec = Codec;
    type Link = ();

    const NAME: &'static str = "dubbo";
    const ORDERED: bool = false;
    const QUEUES: bool = false;
    const TOKEN: &'static str = "header.token";

    fn call(id: u64, verb: Verb, token: &str) -> Vec<u8> {
        let args = [Value::Text(token.to_owned())];
        wire::request(id, "svc", "1.0.0", verb.name(), TEXT, &args, &[("token", token)])
    }

    fn oneway(token: &str) -> Option<Vec<u8>> {
        let args = [Value::Text(token.to_owned())];
        let name = Verb::Echo.name();
        Some(wire::oneway(1 << 40, "svc", "1.0.0", name, TEXT, &args, &[("token", token)]))
    }

    fn said(buf: &[u8]) -> Option<(Option<Said>, usize)> {
        let (message, n) = wire::read(buf).expect("what Heptad sends is Dubbo")?;
        let Message::Reply(reply) = message else {
            return Some((None, n));
        };
        let result = match reply.result {
            Outcome::Value(Value::Text(text)) => Ok(text),
            other => Err(format!("{other:?}")),
        };
        Some((Some(Said { id: Some(reply.id), result }), n))
    }

    fn asked((): &mut (), buf: &[u8]) -> Option<(Asked, usize)> {
        let (message, n) = wire::read(buf).expect("whole frames reach an endpoint")?;
        let asked = match message {
            Message::Request(request) => {
                let token = request.attachment("token").unwrap_or_default().to_owned();
                assert_eq!(request.args.first().and_then(Value::text), Some(&*token));
                let verb = Verb::from_name(&request.method).expect("a method that clients call");
                match request.two_way {
                    true => Asked::Call { id: request.id, verb, token },
                    false => Asked::Oneway { token },
                }
            }
            Message::Ping(id) => Asked::Say(wire::pong(id), 0),
            _ => Asked::Quiet,
        };
        Some((asked, n))
    }

    fn answer(id: u64, result: Result<&str, &str>) -> Vec<u8> {
        match result {
            Ok(text) => wire::reply(id, Ok(text.into())),
            Err(text) => wire::exception(id, &Value::Text(text.to_owned())),
        }
    }

    fn garbage() -> &'static [u8] {
        &[0x11; 64]
    }
}
