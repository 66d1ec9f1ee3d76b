// Calls through sofa-rpc-node in every dialect that the server knows, and records what it saw.
// Usage: call.js --port PORT --server node|anthunder
"use strict";

const { createHash } = require("node:crypto");
const { parseArgs } = require("node:util");
const { DIALECTS, connect } = require("./stage");

const { values: options } = parseArgs({
  options: { port: { type: "string" }, server: { type: "string" } },
});

let group = "";
let number = 0;

function step(call, reply) {
  number += 1;
  const json = JSON.stringify(reply ?? null);
  const short = json.length > 300 ? createHash("md5").update(json).digest("hex") : reply ?? null;
  process.stdout.write(`${JSON.stringify({ step: `${group}/${number}`, call, reply: short })}\n`);
}

// An error is a reply, but silence is none, so that two servers that stay silent are not equal.
async function record(call, promise) {
  try {
    step(call, { value: await promise });
  } catch (error) {
    if (/Timeout/.test(error.name)) throw error;
    step(call, { error: error.message });
  }
}

async function heartbeats(client) {
  for (let i = 0; i < 3; i++) {
    const { connection } = client;
    connection._lastActiveTime = 0;
    const answered = new Promise((done) => connection._decoder.once("heartbeat_ack", done));
    connection.heartbeat();
    const { packetType, options: said } = await answered;
    step("heartbeat", { packetType, said });
    await record("and on", client.call("echo", "still here"));
  }
}

async function calls(client) {
  for (const text of ["x", "grüße", "a".repeat(70000), "\u4f60\u597d".repeat(2000), " "]) {
    await record(`echo ${text.length}`, client.call("echo", text));
  }
  await record("name", client.call("name", "x"));
  await record("with headers", client.call("echo", "tagged", { tag: "gray", empty: "" }));
  const many = Array.from({ length: 50 }, (_, i) => client.call("echo", `n${i}`));
  step("50 at once", await Promise.all(many));
  const slow = [30, 1, 20, 2].map((ms) => client.call("sleep", String(ms)));
  step("out of order", await Promise.all(slow));
}

async function main() {
  const node = options.server === "node";
  for (const dialect of Object.keys(DIALECTS)) {
    for (const codec of ["hessian2", "protobuf"]) {
      // anthunder knows version 1 and protobuf.
      if (!node && (dialect !== "v1" || codec !== "protobuf")) continue;
      group = `${dialect} ${codec}`;
      number = 0;
      const client = await connect(options.port, dialect, codec);
      await calls(client);
      if (node) {
        await record("fail", client.call("fail", "no such book"));
        await record("no such method", client.call("vanish", "x"));
        await heartbeats(client);
      }
      await client.close();
    }
  }
  process.stdout.write('{"end": 1}\n');
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
