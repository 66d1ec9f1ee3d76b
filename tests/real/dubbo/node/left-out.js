// What two libraries cannot do together without anything in between, each with its reason: the
// reply never comes, or the client or the server breaks off. `*` is any.
"use strict";

const FIVE = "dubbo-py does not read integers of five bytes";
const SIGN = "dubbo-py reads long integers as positive ones and writes them as others";
const RANGE = "dubbo-py writes large doubles as if they were small";
const CHUNKS = "dubbo-py does not read strings and bytes in several chunks, and writes no bytes";
const PAIRS = "dubbo-py does not read characters outside of the basic plane";
const DATES = "dubbo-py does not write dates, and reads none before 1970";
const REFS = "dubbo-py knows no references to values";
const SILENT = "dubbo-py never answers calls of what it has not got";
const SERIAL = "dubbo-py answers the calls of a connection one after the other";
const STATUS = "it answers heartbeats with a status that this client takes for an error with a text";

// Client, server, group, kind, reason.
const LEFT_OUT = [
  ["*", "py", "echo|describe", "(int|Integer) (-262145|262144|-?214748364[78])", FIVE],
  ["*", "py", "echo", "long (9007199254740993|-?922337203685477580[78])", SIGN],
  ["*", "py", "echo", "double (1e.300|2147483648.5)", RANGE],
  ["*", "py", "echo|describe", "string 70000|binary (1024|70000)", CHUNKS],
  ["*", "py", "echo", "binary .*", CHUNKS],
  ["*", "py", "echo|describe", "string emoji", PAIRS],
  ["*", "py", "echo", "date.*", DATES],
  ["*", "py", "describe", "date before 1970", DATES],
  ["*", "py", "several arguments", "objects", DATES],
  ["*", "py", "echo|describe", "one object twice|cycle", REFS],
  ["*", "py", "errors", "unknown", SILENT],
  ["*", "py", "many in flight", "out of order", SERIAL],
  ["sofa", "apache|py", "heartbeats", "answers", STATUS],
];

const whole = (pattern, text) => pattern === "*" || new RegExp(`^(${pattern})$`).test(text);

function left(...what) {
  return LEFT_OUT.some((row) => what.every((text, i) => whole(row[i], text)));
}

module.exports = { left };
