// Calls through apache-dubbo-consumer, connected to one address, and records what it saw.
// `--server` names the library behind.
"use strict";

const { parseArgs } = require("node:util");
const groups = require("./calls");
const { connect } = require("./client-apache");
const { end, group, step } = require("./recorder");

const { values: options } = parseArgs({
  options: { port: { type: "string" }, server: { type: "string" } },
});

async function heartbeats(client) {
  group("heartbeats");
  for (let i = 0; i < 3; i++) {
    await client.call("name", []);
    client.invoker.transport.heartBeat.emit();
    step("and on", await client.call("name", []));
  }
}

async function main() {
  for (const run of [...groups, heartbeats]) {
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
