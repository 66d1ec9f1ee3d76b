//! Messages for clients, servers and tests of Dubbo. It knows the layout of a frame and nothing of
//! routing; its reader is written apart from the codec's, so that each checks the other.
//!
//! ```
//! use heptad_dubbo::wire::{self, Message, Value};
//!
//! let list = "com.example.Reviews";
//! let args = [Value::from("sonnets"), Value::Int(10)];
//! let bytes = wire::request(7, list, "1.0.0", "list", "Ljava/lang/String;I", &args, &[]);
//! let (message, len) = wire::read(&bytes).unwrap().unwrap();
//! assert_eq!(len, bytes.len());
//! let Message::Request(request) = message else { panic!("not a request") };
//! assert_eq!((&*request.method, &request.args[..]), ("list", &args[..]));
//!
//! let bytes = wire::reply(7, Ok(Value::from("five stars")));
//! let (reply, _) = wire::read_reply(&bytes).unwrap().unwrap();
//! assert_eq!(reply.result, wire::Outcome::Value(Value::from("five stars")));
//! ```

mod message;
mod read;
mod value;

pub use message::{
    Message, Outcome, Reply, Request, exception, heartbeat, oneway, pong, read, read_only,
    read_reply, read_request, reply, request,
};
pub use read::WireError;
pub use value::Value;
