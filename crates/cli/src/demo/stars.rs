//! The messages of the demo's ratings service, in Thrift's binary protocol. Its definition would be:
//!
//! ```text
//! struct Rating { 1: string by, 2: i32 stars }
//! exception NotRated { 1: string why }
//! service Ratings {
//!   Rating get(1: i32 product) throws (1: NotRated not_rated)
//!   Rating erase(1: i32 product)
//! }
//! ```

use thrift::{
    ApplicationError, ApplicationErrorKind, Error, Result,
    protocol::{
        TBinaryInputProtocol, TBinaryOutputProtocol, TFieldIdentifier, TInputProtocol,
        TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
    },
};

/// The method for everybody.
pub(crate) const GET: &str = "get";
/// The method that a policy keeps from everybody.
pub(crate) const ERASE: &str = "erase";

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The message's own number, apart from the frame's.
    pub(crate) seq: i32,
    pub(crate) method: String,
    pub(crate) product: i32,
}

/// What comes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Rating {
        by: String,
        stars: i32,
    },
    /// The declared exception.
    NotRated(String),
    /// There is no such method.
    UnknownMethod(String),
    /// Another exception that is no answer of the service.
    Failed(String),
}

impl Call {
    /// The message.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        message(&self.method, TMessageType::Call, self.seq, |out| {
            structure(out, |out| {
                field(out, TType::I32, 1)?;
                out.write_i32(self.product)
            })
        })
    }

    /// Reads a message.
    pub(crate) fn decode(message: &[u8]) -> Result<Self> {
        let input = &mut TBinaryInputProtocol::new(message, true);
        let id = input.read_message_begin()?;
        if id.message_type != TMessageType::Call {
            return Err("not a call".into());
        }
        let mut product = 0;
        fields(input, |input, what| {
            match what {
                (1, TType::I32) => product = input.read_i32()?,
                (_, other) => input.skip(other)?,
            }
            Ok(())
        })?;
        input.read_message_end()?;
        Ok(Self { seq: id.sequence_number, method: id.name, product })
    }
}

impl Answer {
    /// The message in answer to a call.
    pub(crate) fn encode(&self, to: &Call) -> Result<Vec<u8>> {
        let failed = |kind, text: &String| {
            let error = ApplicationError::new(kind, text.as_str());
            message(&to.method, TMessageType::Exception, to.seq, |out| {
                Error::write_application_error_to_out_protocol(&error, out)
            })
        };
        let result = |id, body: &dyn Fn(&mut dyn TOutputProtocol) -> Result<()>| {
            message(&to.method, TMessageType::Reply, to.seq, |out| {
                structure(out, |out| {
                    field(out, TType::Struct, id)?;
                    structure(out, body)
                })
            })
        };
        match self {
            Self::Rating { by, stars } => result(0, &|out| {
                field(out, TType::String, 1)?;
                out.write_string(by)?;
                field(out, TType::I32, 2)?;
                out.write_i32(*stars)
            }),
            Self::NotRated(why) => result(1, &|out| {
                field(out, TType::String, 1)?;
                out.write_string(why)
            }),
            Self::UnknownMethod(text) => failed(ApplicationErrorKind::UnknownMethod, text),
            Self::Failed(text) => failed(ApplicationErrorKind::InternalError, text),
        }
    }

    /// Reads a message, and which call it answers.
    pub(crate) fn decode(message: &[u8]) -> Result<(i32, Self)> {
        let input = &mut TBinaryInputProtocol::new(message, true);
        let id = input.read_message_begin()?;
        let answer = match id.message_type {
            TMessageType::Exception => {
                let error = Error::read_application_error_from_in_protocol(input)?;
                match error.kind {
                    ApplicationErrorKind::UnknownMethod => Self::UnknownMethod(error.message),
                    _ => Self::Failed(error.message),
                }
            }
            TMessageType::Reply => {
                let mut answer = None;
                fields(input, |input, what| {
                    match what {
                        (0, TType::Struct) => answer = Some(rating(input)?),
                        (1, TType::Struct) => answer = Some(not_rated(input)?),
                        (_, other) => input.skip(other)?,
                    }
                    Ok(())
                })?;
                answer.ok_or("a reply without a result")?
            }
            _ => return Err("neither a reply nor an exception".into()),
        };
        input.read_message_end()?;
        Ok((id.sequence_number, answer))
    }
}

fn rating(input: &mut dyn TInputProtocol) -> Result<Answer> {
    let (mut by, mut stars) = (String::new(), 0);
    fields(input, |input, what| {
        match what {
            (1, TType::String) => by = input.read_string()?,
            (2, TType::I32) => stars = input.read_i32()?,
            (_, other) => input.skip(other)?,
        }
        Ok(())
    })?;
    Ok(Answer::Rating { by, stars })
}

fn not_rated(input: &mut dyn TInputProtocol) -> Result<Answer> {
    let mut why = String::new();
    fields(input, |input, what| {
        match what {
            (1, TType::String) => why = input.read_string()?,
            (_, other) => input.skip(other)?,
        }
        Ok(())
    })?;
    Ok(Answer::NotRated(why))
}

fn message(
    name: &str,
    kind: TMessageType,
    seq: i32,
    body: impl FnOnce(&mut dyn TOutputProtocol) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let out = &mut TBinaryOutputProtocol::new(&mut bytes, true);
    out.write_message_begin(&TMessageIdentifier::new(name, kind, seq))?;
    body(out)?;
    out.write_message_end()?;
    Ok(bytes)
}

fn structure(
    out: &mut dyn TOutputProtocol,
    body: impl FnOnce(&mut dyn TOutputProtocol) -> Result<()>,
) -> Result<()> {
    out.write_struct_begin(&TStructIdentifier::new(""))?;
    body(out)?;
    out.write_field_stop()?;
    out.write_struct_end()
}

/// Names are not sent.
fn field(out: &mut dyn TOutputProtocol, field_type: TType, id: i16) -> Result<()> {
    out.write_field_begin(&TFieldIdentifier::new("", field_type, id))
}

/// Reads a struct; `each` reads the value of each field.
fn fields(
    input: &mut dyn TInputProtocol,
    mut each: impl FnMut(&mut dyn TInputProtocol, (i16, TType)) -> Result<()>,
) -> Result<()> {
    input.read_struct_begin()?;
    loop {
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            return input.read_struct_end();
        }
        each(input, (field.id.unwrap_or_default(), field.field_type))?;
        input.read_field_end()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let call = Call { seq: -7, method: GET.to_owned(), product: 9 };
        let bytes = call.encode().expect("a message");
        assert_eq!(bytes, b"\x80\x01\0\x01\0\0\0\x03get\xff\xff\xff\xf9\x08\0\x01\0\0\0\x09\0");
        assert_eq!(Call::decode(&bytes).expect("a call"), call);
        for answer in [
            Answer::Rating { by: "v1".to_owned(), stars: 4 },
            Answer::NotRated("v1: not rated".to_owned()),
            Answer::UnknownMethod("v1: no such method".to_owned()),
            Answer::Failed("broken".to_owned()),
        ] {
            let bytes = answer.encode(&call).expect("a message");
            assert_eq!(Answer::decode(&bytes).expect("an answer"), (-7, answer));
            assert!(Call::decode(&bytes).is_err());
        }
        assert!(Answer::decode(b"\x80\x01\0\x02\0\0\0\x03get\0\0\0\0\0").is_err());
    }
}
