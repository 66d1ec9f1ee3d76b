// Drives ioredis through its public calls and records what it saw, see recorder.js.
//
// Ends with an error if there is a public method that was neither called nor left out for a reason
// that left-out.js gives.
"use strict";

const { parseArgs } = require("node:util");
const Redis = require("ioredis");
const leftOut = require("./left-out");
const { called, recorder } = require("./recorder");

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    servers: { type: "string" },
    sharded: { type: "boolean", default: false },
  },
});

function connect(port, more = {}) {
  return new Redis({ port: Number(port), enableReadyCheck: false, ...more });
}

// What groups need beside the client under test.
const world = {
  sharded: values.sharded,
  open: [],
  connect(more) {
    const client = connect(values.port, more);
    world.open.push(client);
    return client;
  },
  // Asks the servers themselves, since only they know when a client waits.
  async untilBlocked() {
    for (const late = Date.now() + 20000; Date.now() < late; ) {
      for (const eye of world.eyes) {
        if (!(await eye.info("clients")).includes("blocked_clients:0")) return;
      }
    }
    throw new Error("no client was ever blocked");
  },
};
world.second = world.connect();
world.eyes = values.servers.split(",").map((port) => {
  const eye = connect(port);
  world.open.push(eye);
  return eye;
});

function methods(client) {
  const names = new Set();
  for (let o = client; o && o !== Object.prototype; o = Object.getPrototypeOf(o)) {
    for (const name of Object.getOwnPropertyNames(o)) {
      if (!name.startsWith("_") && typeof client[name] === "function") names.add(name);
    }
  }
  return names;
}

async function main() {
  const client = world.connect();
  const known = methods(client);
  const r = recorder(client);
  const k = world.sharded ? (name) => `{t}${name}` : (name) => name;
  const groups = [...require("./data"), ...require("./flows")];
  if (!world.sharded) groups.push(...require("./server"));
  for (const run of groups) await run(r, k, world);
  if (!world.sharded) {
    // `getBuffer` is `get` with another type of string.
    const covered = (name) => called.has(name) || leftOut.has(name);
    const missing = [...known].filter((n) => !covered(n) && !covered(n.replace(/Buffer$/, "")));
    if (missing.length) throw new Error(`neither called nor left out: ${missing.join(" ")}`);
  }
  console.log('{"end": 1}');
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => world.open.forEach((client) => client.disconnect()));
