// Writes down every call with its reply, one JSON object per line; the counterpart of
// ../redis-py/recorder.py.
"use strict";

const state = { group: "", number: 0 };

// Names of all methods of the client that were called.
const called = new Set();

function group(name) {
  state.group = name;
  state.number = 0;
}

// `single`: it needs a cluster with one server, and fails with several.
function step(call, reply, single = false) {
  state.number += 1;
  const line = { step: `${state.group}/${state.number}`, call, reply: plain(reply) };
  if (single) line.single = true;
  process.stdout.write(JSON.stringify(line) + "\n");
}

// A reply as JSON that keeps its type.
function plain(value) {
  if (Buffer.isBuffer(value)) return { buffer: value.toString("latin1") };
  if (value instanceof Error) return { error: value.name, text: value.message };
  if (value === undefined) return { undefined: true };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return { object: Object.entries(value).map(([k, v]) => [k, plain(v)]) };
  }
  return value;
}

// The type of a reply; of an error the code too.
function kind(value) {
  if (value instanceof Error) return { error: value.name, code: value.message.split(" ")[0] };
  return { kind: Array.isArray(value) ? "array" : value === null ? "null" : typeof value };
}

function sorted(value) {
  if (Array.isArray(value)) return [...value].sort();
  return value;
}

// An answer or an error; nothing else is caught.
async function result(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "ReplyError" || error.name === "AbortError") return error;
    throw error;
  }
}

// A client whose calls are recorded: `await r.get("a")`. `r.volatile.time()` records the type of
// the reply only, `r.unordered.smembers("s")` sorts it, `r.single.debug()` is
// refused where there are several servers; `r.raw` is the client itself.
function recorder(client, form = (value) => value, single = false) {
  return new Proxy(client, {
    get(target, name) {
      if (name === "raw") return client;
      if (name === "volatile") return recorder(client, kind);
      if (name === "single") return recorder(client, kind, true);
      if (name === "unordered") return recorder(client, sorted);
      if (name === "then") return undefined;
      return async (...args) => {
        called.add(name);
        const reply = await result(target[name](...args));
        const asked = args.map((a) => (Buffer.isBuffer(a) ? a.toString("latin1") : a));
        step(`${name}(${JSON.stringify(asked).slice(1, -1)})`, form(reply), single);
        return reply;
      };
    },
  });
}

module.exports = { called, group, recorder, result, step };
