// Writes down every call with its reply, one JSON object per line; the counterpart of
// ../python/recorder.py.
"use strict";

const { plain, short } = require("./values");

const state = { group: "", number: 0 };

function group(name) {
  state.group = name;
  state.number = 0;
}

function step(call, reply) {
  state.number += 1;
  const form = plain(reply);
  const json = JSON.stringify(form);
  const line = { step: `${state.group}/${state.number}`, call };
  line.reply = json.length > 4000 ? short(json) : form;
  process.stdout.write(JSON.stringify(line) + "\n");
}

// Records one call. An error is a reply, but silence is none, so that two servers that both stay
// silent are not found equal.
async function record(call, promise) {
  let reply;
  try {
    reply = await promise;
  } catch (error) {
    if (/[Tt]imeout/.test(error.name + error.constructor.name)) throw error;
    reply = error;
  }
  step(call, reply);
  return reply;
}

function end() {
  process.stdout.write('{"end": 1}\n');
}

module.exports = { end, group, record, step };
