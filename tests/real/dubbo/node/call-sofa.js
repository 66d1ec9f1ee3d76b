// Calls through sofa-rpc-node's client with dubbo-remoting as its protocol, and records what it saw.
// `--server` names the library behind.
"use strict";

const { parseArgs } = require("node:util");
const groups = require("./calls");
const { connect } = require("./client-sofa");
const { end, group, record, step } = require("./recorder");
const { INTERFACE, VERSION } = require("./service");

const { values: options } = parseArgs({
  options: { port: { type: "string" }, server: { type: "string" } },
});
async function replyAttachments(client) {
  group("attachments of the reply");
  const call = (dubbo) => client.call("name", [], { attachments: { dubbo } });
  for (const dubbo of ["2.0.2", "2.5.3", "2.6.2", "2.7.15", "3.0.0"]) {
    await record(`framework ${dubbo}`, call(dubbo));
    step("with", client.last.attachments);
  }
}

async function heartbeats(client) {
  if (client.left("heartbeats", "answers")) return;
  group("heartbeats");
  const consumer = client.consumer(INTERFACE, VERSION);
  await consumer.ready();
  const connection = await consumer.getConnection({ meta: {} });
  for (let i = 0; i < 3; i++) {
    connection._lastActiveTime = 0;
    const answered = new Promise((resolve) => connection._decoder.once("heartbeat_ack", resolve));
    connection.heartbeat();
    const { data, packetType } = await answered;
    step("heartbeat", { data, packetType });
    await record("and on", client.call("echo", ["still here"]));
  }
}

async function main() {
  for (const run of [...groups, replyAttachments, heartbeats]) {
    const client = connect(options.port, options.server);
    await run(client);
    await client.close();
  }
  end();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
