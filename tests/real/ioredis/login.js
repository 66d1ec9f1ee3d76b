// Logs in with ioredis in every way it knows and records what it saw, see recorder.js.
"use strict";

const { parseArgs } = require("node:util");
const Redis = require("ioredis");
const { group, step } = require("./recorder");

const { values } = parseArgs({ options: { port: { type: "string" }, servers: { type: "string" } } });

const ways = [
  ["nobody", {}],
  ["password", { password: "default-secret" }],
  ["default", { username: "default", password: "default-secret" }],
  ["alice", { username: "alice", password: "alice-secret" }],
  ["wrong password", { username: "alice", password: "default-secret" }],
  ["wrong user", { username: "bob", password: "alice-secret" }],
  ["password of the servers", { password: "upstream-secret" }],
];

async function main() {
  for (const [name, how] of ways) {
    group(name);
    const client = new Redis({
      port: Number(values.port),
      enableReadyCheck: false,
      retryStrategy: null,
      ...how,
    });
    // What the library makes of a refused login is an event, not a reply.
    const events = [];
    client.on("error", (error) => events.push(error.message));
    const calls = [
      ["ping"],
      ["acl", "WHOAMI"],
      ["set", "who", name],
      ["get", "who"],
      ["del", "who"],
      ["auth", "alice", "alice-secret"],
      ["acl", "WHOAMI"],
      ["get", "who"],
    ];
    for (const [method, ...args] of calls) {
      // It closes after a refused login, so that an error need not be a reply.
      const reply = await client[method](...args).catch((error) => error);
      step([method, ...args].join(" "), reply);
    }
    step("events", events);
    client.disconnect();
  }
  console.log('{"end": 1}');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
