//! AwesomeRPC: replies by id, in any order, on shared links.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_core::Kind;

use crate::tongue::{Asked, Said, Tongue, Verb};

#[derive(Default)]
pub(crate) struct Awesome;

impl Tongue for Awesome {
    type Codec = AwesomeRpc;
    type Link = ();

    const NAME: &'static str = "awesomerpc";
    const ORDERED: bool = false;
    const QUEUES: bool = false;
    const TOKEN: &'static str = "header.token";

    fn call(id: u64, verb: Verb, token: &str) -> Vec<u8> {
        let message = Message::request(id as u32, "svc", verb.name());
        message.header("token", token).to_bytes()
    }

    fn oneway(token: &str) -> Option<Vec<u8>> {
        Some(Message::oneway("svc", Verb::Echo.name()).header("token", token).to_bytes())
    }

    fn said(buf: &[u8]) -> Option<(Option<Said>, usize)> {
        let (m, n) = Message::decode(buf).expect("what Heptad sends is the protocol")?;
        let body = String::from_utf8_lossy(&m.body).into_owned();
        let result = match m.status_name() {
            "OK" => Ok(body),
            name => Err(format!("{name} {body}")),
        };
        let said = Said { id: Some(m.id.into()), result };
        Some(((m.kind == Kind::Reply).then_some(said), n))
    }

    fn asked((): &mut (), buf: &[u8]) -> Option<(Asked, usize)> {
        let (m, n) = Message::decode(buf).expect("whole frames reach an endpoint")?;
        let token = m.value("token").unwrap_or_default().to_owned();
        let asked = match m.kind {
            Kind::Request => {
                let verb = Verb::from_name(&m.method).expect("a method that clients call");
                Asked::Call { id: m.id.into(), verb, token }
            }
            Kind::Oneway => Asked::Oneway { token },
            Kind::Ping => Asked::Say(Message::new(Kind::Pong, m.id).to_bytes(), 0),
            _ => Asked::Quiet,
        };
        Some((asked, n))
    }

    fn answer(id: u64, result: Result<&str, &str>) -> Vec<u8> {
        match result {
            Ok(text) => Message::reply(id as u32, text),
            Err(text) => Message::error(id as u32, "APP_ERROR", text),
        }
        .to_bytes()
    }

    fn garbage() -> &'static [u8] {
        &[0xff; 64]
    }
}
