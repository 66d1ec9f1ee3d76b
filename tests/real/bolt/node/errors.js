// What a client of sofa-rpc-node is told by the router, in every dialect; one line of JSON per case.
// Usage: errors.js PORT
"use strict";

const { DIALECTS, connect } = require("./stage");

const [port] = process.argv.slice(2);

async function main() {
  for (const dialect of Object.keys(DIALECTS)) {
    for (const codec of ["hessian2", "protobuf"]) {
      const say = (name, said) =>
        process.stdout.write(`${JSON.stringify({ dialect, codec, name, ...said })}\n`);
      const outcome = (promise) =>
        promise.then(
          (value) => ({ value }),
          (error) => ({ error: error.message }),
        );
      for (const service of ["Nowhere", "Told", "Dead", "Slow"]) {
        // Protobuf needs a service that it knows; a header tells them apart.
        const named = codec === "protobuf" ? "com.heptad.Probe" : `com.heptad.${service}`;
        const client = await connect(port, dialect, codec, named);
        const props = { to: service };
        say(service, await outcome(client.call("sleep", "3000", props)));
        client.close();
      }
      const client = await connect(port, dialect, codec);
      say("good", await outcome(client.call("echo", "still here", { to: "live" })));
      await client.close();
    }
  }
  process.exit(0);
}

main();
