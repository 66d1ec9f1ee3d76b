//! `cargo xtask redis-commands`: writes the Redis codec's command table from the `COMMAND` reply of
//! the redis-server that is installed, or with `--check` tells whether the committed one is it.
//!
//! It starts a server of its own on a Unix socket in a temporary directory and knows nothing of how
//! the codec uses the table.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Where the table is kept, from the workspace's root.
const TABLE: &str = "codecs/redis/src/table/generated.rs";

/// Runs the task. `args` is empty, or `--check`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => false,
        [only] if only == "--check" => true,
        _ => return Err("usage: cargo xtask redis-commands [--check]".into()),
    };
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(TABLE);
    let server = Server::start()?;
    let text = render(&server.version()?, &server.ask(&["COMMAND"])?)?;
    if !check {
        fs::write(&table, text).map_err(|e| format!("{}: {e}", table.display()))?;
        println!("wrote {TABLE}");
        return Ok(());
    }
    let kept = fs::read_to_string(&table).map_err(|e| format!("{}: {e}", table.display()))?;
    if kept != text {
        return Err(format!(
            "{TABLE} is not what this redis-server says; run `cargo xtask redis-commands`"
        ));
    }
    println!("{TABLE} is what redis-server says");
    Ok(())
}

/// A redis-server that lives as long as this value.
struct Server {
    child: Child,
    dir: PathBuf,
}

impl Server {
    fn start() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("heptad-commands-{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "s", "--save", "", "--dir"])
            .arg(&dir)
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("redis-server: {e} (apt-get install redis-server)"))?;
        let server = Self { child, dir };
        for _ in 0..100 {
            if server.ask(&["PING"]).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("redis-server did not start".into())
    }

    fn ask(&self, words: &[&str]) -> Result<Reply, String> {
        let path = self.dir.join("s");
        let mut stream = UnixStream::connect(path).map_err(|e| e.to_string())?;
        let mut text = format!("*{}\r\n", words.len());
        for w in words {
            let _ = write!(text, "${}\r\n{w}\r\n", w.len());
        }
        stream.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        read(&mut BufReader::new(stream), 0)
    }

    fn version(&self) -> Result<String, String> {
        let info = self.ask(&["INFO", "server"])?;
        let line = info.text()?.lines().find_map(|l| l.strip_prefix("redis_version:"));
        Ok(line.ok_or("INFO has no redis_version")?.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// As much of RESP2 as `COMMAND` and `INFO` answer with.
#[derive(Debug)]
enum Reply {
    Text(String),
    Number(i64),
    List(Vec<Reply>),
}

impl Reply {
    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(t) => Ok(t),
            other => Err(format!("expected text, got {other:?}")),
        }
    }

    fn number(&self) -> Result<i64, String> {
        match self {
            Self::Number(n) => Ok(*n),
            other => Err(format!("expected a number, got {other:?}")),
        }
    }

    fn list(&self) -> Result<&[Reply], String> {
        match self {
            Self::List(l) => Ok(l),
            other => Err(format!("expected a list, got {other:?}")),
        }
    }

    /// The value behind a name in a flat list of pairs.
    fn field(&self, name: &str) -> Result<&Reply, String> {
        self.list()?
            .chunks_exact(2)
            .find_map(|pair| match pair {
                [Self::Text(n), value] if n == name => Some(value),
                _ => None,
            })
            .ok_or_else(|| format!("no field {name}"))
    }
}

fn read(from: &mut impl BufRead, depth: u32) -> Result<Reply, String> {
    if depth > 16 {
        return Err("reply is nested too deeply".into());
    }
    let mut line = String::new();
    from.read_line(&mut line).map_err(|e| e.to_string())?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or("empty reply")?;
    let number = || rest.parse::<i64>().map_err(|e| format!("{line}: {e}"));
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        ":" => Ok(Reply::Number(number()?)),
        "$" => {
            let len = usize::try_from(number()?).unwrap_or(0);
            let mut bytes = vec![0; len + 2];
            from.read_exact(&mut bytes).map_err(|e| e.to_string())?;
            bytes.truncate(len);
            String::from_utf8(bytes).map(Reply::Text).map_err(|e| e.to_string())
        }
        "*" => {
            (0..number()?).map(|_| read(from, depth + 1)).collect::<Result<_, _>>().map(Reply::List)
        }
        _ => Err(format!("unexpected reply {line}")),
    }
}

fn render(version: &str, commands: &Reply) -> Result<String, String> {
    let mut text = format!(
        "//! The commands of redis-server {version}. Written by `cargo xtask redis-commands`; not for \
         editing.\n\n\
         use super::row::{{Begin, Keys, Request, Response, Row}};\n\n\
         /// Sorted by name.\n\
         #[rustfmt::skip]\n\
         pub(super) static ROWS: &[Row] = &[\n"
    );
    rows(&mut text, commands, "    ")?;
    text.push_str("];\n");
    Ok(text)
}

fn rows(text: &mut String, commands: &Reply, indent: &str) -> Result<(), String> {
    let mut sorted = Vec::new();
    for c in commands.list()? {
        let [name, ..] = c.list()? else {
            return Err("a command without a name".into());
        };
        sorted.push((name.text()?, c));
    }
    sorted.sort_by_key(|(name, _)| *name);
    for (name, command) in sorted {
        let [_, arity, flags, _, _, _, _, tips, specs, subs, ..] = command.list()? else {
            return Err(format!("{name}: fewer than ten fields"));
        };
        let bits = flags
            .list()?
            .iter()
            .try_fold(0_u16, |bits, f| Ok::<_, String>(bits | flag(f.text()?)))?;
        let keys = specs.list()?.iter().map(keys).collect::<Result<Vec<_>, _>>()?.join(", ");
        let (request, response) = policies(tips)?;
        let _ = write!(
            text,
            "{indent}Row {{ name: {name:?}, arity: {}, flags: {bits}, keys: &[{keys}], \
             request: Request::{request}, response: Response::{response}, subs: &[",
            arity.number()?
        );
        if subs.list()?.is_empty() {
            text.push_str("] },\n");
        } else {
            text.push('\n');
            rows(text, subs, &format!("{indent}    "))?;
            let _ = writeln!(text, "{indent}] }},");
        }
    }
    Ok(())
}

/// The bits of `table::row::flag`.
fn flag(name: &str) -> u16 {
    match name {
        "readonly" => 1,
        "write" => 1 << 1,
        "blocking" => 1 << 2,
        "no_multi" => 1 << 3,
        "admin" => 1 << 4,
        "pubsub" => 1 << 5,
        _ => 0,
    }
}

fn keys(spec: &Reply) -> Result<String, String> {
    let begin = spec.field("begin_search")?;
    let find = spec.field("find_keys")?;
    let at = begin.field("spec")?;
    let begin = match begin.field("type")?.text()? {
        "index" => format!("Begin::At({})", at.field("index")?.number()?),
        "keyword" => format!(
            "Begin::Word({:?}, {})",
            at.field("keyword")?.text()?,
            at.field("startfrom")?.number()?
        ),
        "unknown" => return Ok("Keys::Unknown".into()),
        other => return Err(format!("begin_search {other}")),
    };
    let how = find.field("spec")?;
    let number = |name: &str| how.field(name)?.number();
    Ok(match find.field("type")?.text()? {
        "range" => format!(
            "Keys::Range {{ begin: {begin}, last: {}, step: {}, limit: {} }}",
            number("lastkey")?,
            number("keystep")?,
            number("limit")?
        ),
        "keynum" => format!(
            "Keys::Count {{ begin: {begin}, count: {}, first: {}, step: {} }}",
            number("keynumidx")?,
            number("firstkey")?,
            number("keystep")?
        ),
        "unknown" => "Keys::Unknown".into(),
        other => return Err(format!("find_keys {other}")),
    })
}

fn policies(tips: &Reply) -> Result<(&'static str, &'static str), String> {
    let (mut request, mut response) = ("None", "None");
    for tip in tips.list()? {
        match tip.text()?.split_once(':') {
            Some(("request_policy", policy)) => {
                request = match policy {
                    "all_nodes" => "AllNodes",
                    "all_shards" => "AllShards",
                    "multi_shard" => "MultiShard",
                    "special" => "Special",
                    other => return Err(format!("request_policy {other}")),
                }
            }
            Some(("response_policy", policy)) => {
                response = match policy {
                    "one_succeeded" => "OneSucceeded",
                    "all_succeeded" => "AllSucceeded",
                    "agg_logical_and" => "And",
                    "agg_logical_or" => "Or",
                    "agg_min" => "Min",
                    "agg_max" => "Max",
                    "agg_sum" => "Sum",
                    "special" => "Special",
                    other => return Err(format!("response_policy {other}")),
                }
            }
            _ => {}
        }
    }
    Ok((request, response))
}
