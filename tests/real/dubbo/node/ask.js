// Makes the calls that come as JSON on lines of standard input, with one client that stays connected,
// and prints what came of each: { value } or { error }.
//
// Usage: ask.js sofa|apache PORT
"use strict";

const { createInterface } = require("node:readline");
const java = require("js-to-java");
const { plain } = require("./values");

const [library, port] = process.argv.slice(2);
const { connect } = require(`./client-${library}`);
const client = connect(port);

const typed = (value) => (typeof value === "number" ? java.int(value) : java.String(value));

async function answer({ method, args, ...more }) {
  try {
    return { value: plain(await client.call(method, args.map(typed), more)) };
  } catch (error) {
    return { error: error.message };
  }
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
  }
  await client.close();
  process.exit(0);
}

main();
