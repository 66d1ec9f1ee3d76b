// Writes down every call with its reply, one JSON object per line; the counterpart of
// ../python/recorder.py.
"use strict";

const thrift = require("thrift");
const Int64 = require("node-int64");

const state = { group: "", number: 0 };

// Names of all methods that were called.
const called = new Set();

function group(name) {
  state.group = name;
  state.number = 0;
}

function step(call, reply) {
  state.number += 1;
  const line = { step: `${state.group}/${state.number}`, call, reply };
  process.stdout.write(JSON.stringify(line) + "\n");
}

// The mark without which a record does not count.
function end() {
  process.stdout.write('{"end": 1}\n');
}

// A reply as JSON that keeps its type.
function plain(value) {
  if (value === undefined) return { undefined: true };
  if (value instanceof Int64) return { i64: value.toOctetString() };
  if (Buffer.isBuffer(value)) return { buffer: value.toString("latin1") };
  if (typeof value === "number") return Object.is(value, -0) ? { number: "-0" } : value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof thrift.Thrift.TApplicationException) {
    return { application: value.type, text: value.message };
  }
  if (value && typeof value === "object") {
    const kind = value.constructor ? value.constructor.name : "";
    const skip = value instanceof Error ? ["stack", "name"] : [];
    const fields = Object.entries(value).filter(([k]) => !skip.includes(k));
    return { [kind]: fields.map(([k, v]) => [k, plain(v)]) };
  }
  return value;
}

// An argument as text; the middle of a long one is left out.
function brief(value) {
  const text = JSON.stringify(plain(value));
  return text.length < 500 ? text : `${text.slice(0, 200)}…${text.length}…${text.slice(-200)}`;
}

// What a call returns or raises.
async function result(promise) {
  try {
    return await promise;
  } catch (error) {
    return error;
  }
}

// A client whose calls are recorded: `await r.testI32(1)`.
function recorder(client, label = "") {
  return new Proxy(client, {
    get(target, name) {
      if (name === "then") return undefined;
      return async (...args) => {
        called.add(name);
        const reply = await result(target[name](...args));
        step(`${label}${name}(${args.map(brief).join(", ")})`, plain(reply));
        return reply;
      };
    },
  });
}

module.exports = { called, end, group, plain, recorder, result, step };
