// Calls through apache-dubbo-consumer, connected to one address, and records what it saw.
// `--server` names the library behind.
"use strict";

const { parseArgs } = require("node:util");
const { DubboDirectlyInvoker } = require("apache-dubbo-consumer");
const groups = require("./calls");
const { left } = require("./left-out");
const { end, group, step } = require("./recorder");
const { INTERFACE, VERSION } = require("./service");

const { values: options } = parseArgs({
  options: { port: { type: "string" }, server: { type: "string" } },
});

function connect() {
  const invoker = DubboDirectlyInvoker.from({
    dubboHost: `127.0.0.1:${options.port}`,
    dubboVersion: "2.0.2",
    dubboInvokeTimeout: 20000,
  });
  return {
    invoker,
    untyped: {},
    left: (...what) => left("apache", options.server, ...what),
    call(method, args, { service = INTERFACE, version = VERSION, attachments = {} } = {}) {
      const methods = { [method]: (...args) => args };
      const meta = { dubboInterface: service, version, attachments, methods };
      return invoker.proxyService(meta)[method](...args).then(({ res, err }) => {
        if (err) throw err;
        return res;
      });
    },
  };
}

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
    const client = connect();
    await run(client);
    client.invoker.close();
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
