// Calls that the router answers itself, one after the other and then at once; the counterpart of
// ../python/errors.py. What is expected is in crates/xtask/src/real/thrift/errors.rs.
"use strict";

const path = require("path");
const { connect, options, thrift } = require("./connection");
const { end, group, plain, recorder, result, step } = require("./recorder");

const Probe = require(path.join(process.env.GENERATED, "Probe"));

async function main() {
  const { port, dialect } = options();
  const connection = connect(port, dialect);
  const far = connect(port, dialect);
  const client = thrift.createClient(Probe, connection);
  const here = recorder(client);
  const dead = recorder(new thrift.Multiplexer().createClient("Dead", Probe, far), "Dead:");
  const cases = {
    "no route": () => here.testVoid(),
    "no route, oneway": () => here.testOneway(1),
    told: () => here.testByte(1),
    refused: () => dead.testI32(1),
    "refused again": () => dead.testI32(2),
    "refused, oneway": () => dead.testOneway(1),
    "time-out": () => here.wait("too late", 600),
    died: () => here.die(),
    gone: () => here.die(),
  };
  for (const [name, run] of Object.entries(cases)) {
    group(name);
    await run();
    // The next reply is that of the next call.
    await here.testString(`after: ${name}`);
    // Its listener is the last to go.
    if (name === "died") await new Promise((resolve) => setTimeout(resolve, 300));
  }
  group("at once");
  const calls = [
    client.wait("too late", 600),
    client.testString("between"),
    client.testVoid(),
    client.die(),
    client.testString("last"),
  ];
  for (const reply of await Promise.all(calls.map(result))) step("call", plain(reply));
  connection.end();
  far.end();
  end();
}

main().catch((error) => {
  process.stderr.write(`${error.stack || error}\n`);
  process.exit(1);
});
