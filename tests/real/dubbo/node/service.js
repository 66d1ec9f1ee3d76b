// The service that both Node servers offer: what ../python/service.py offers too, as far as that
// server's library can. All but `echoAll` take one argument, because one of the libraries counts
// the arguments wrong when several are primitive; sizes are text, because another does not know
// integers of five bytes.
"use strict";

const { asJson } = require("./values");

const INTERFACE = "com.heptad.Probe";
const VERSION = "1.0";

const noted = new Map();
const meetings = new Map();

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// One after the other, each in a turn of its own, from the last.
function answer(waiting) {
  const one = waiting.pop();
  if (!one) return;
  one.resolve(one.i);
  setImmediate(answer, waiting);
}

// `name` tells servers apart; `made` makes values of all types in the library's own manner;
// `declared` is how it answers with an exception that the interface declares.
function methods({ name, made, declared }) {
  return {
    async name() {
      return name;
    },
    async who() {
      return name;
    },
    async die() {
      process.exit(1);
    },
    async echo(value) {
      return value;
    },
    async echoAll(...values) {
      return values;
    },
    async make(kind) {
      if (!(kind in made)) throw new Error(`no value ${kind}`);
      return made[kind]();
    },
    // As text, so that it does not depend on how a library reads what it wrote.
    async describe(value) {
      return asJson(value);
    },
    async big(size) {
      return Array.from({ length: Number(size) / 1000 }, () => "b".repeat(1000));
    },
    async size(parts) {
      return String(parts.reduce((sum, part) => sum + part.length, 0));
    },
    async nothing() {
      return null;
    },
    async fail(text) {
      throw new Error(text);
    },
    async declared(text) {
      return declared(text);
    },
    async sleep(ms) {
      await later(ms);
      return ms;
    },
    async note(text) {
      const [key, value] = text.split("=");
      noted.set(key, value);
      return "noted";
    },
    async noted(key) {
      return noted.get(key) ?? "nothing yet";
    },
    // "key:many:i": answers when so many have come, the last one first.
    meet(text) {
      const [key, many, i] = text.split(":");
      const here = meetings.get(key) ?? [];
      meetings.set(key, here);
      const done = new Promise((resolve) => here.push({ i: Number(i), resolve }));
      if (here.length === Number(many)) {
        meetings.delete(key);
        answer(here.sort((a, b) => a.i - b.i));
      }
      return done;
    },
  };
}

// What a server tells whoever started it.
function ready(port) {
  process.stdout.write(JSON.stringify({ port }) + "\n");
}

module.exports = { INTERFACE, VERSION, methods, ready };
