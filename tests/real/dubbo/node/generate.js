// Writes random requests, one behind the other, to one file, and what they say to another, one JSON
// object on each line: { service, method, version, attachments, args }, where texts and integers are
// themselves and everything else is null.
//
// Usage: generate.js SEED COUNT FRAMES LINES
"use strict";

const fs = require("node:fs");
const { generator, values } = require("./random-values");
const { line } = require("./lines");
const { byChance, byLibrary } = require("./writers");

const [seed, count, frames, lines] = process.argv.slice(2);
const random = generator(Number(seed));
const make = values(random);
const { next, pick, times } = random;

const TYPES = ["I", "J", "Z", "D", "Ljava/lang/String;", "Ljava/lang/Object;", "[I", "[[Ljava/util/Map;"];
const GENERIC = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
const NAMES = ["tag", "group", "interface", "timeout", "dubbo", "中", "x".repeat(40), "a-b_c"];

const text = (value) => ({ type: "text", value });

function attachments() {
  const entries = new Map();
  times(next(8), () => entries.set(pick(NAMES) + pick(["", "", next(100)]), make.any(1)));
  if (next(4) === 0) entries.set("path", text(`com.attached.${next(10)}`));
  if (next(4) === 0) entries.set("version", text(`${next(4)}.0`));
  return { type: "map", class: null, entries: [...entries].map(([k, v]) => [text(k), v]) };
}

function request() {
  make.fresh();
  const generic = next(8) === 0;
  const args = times(next(6), () => make.any(pick([0, 2, 4])));
  const method = pick(["get", "put", "查询", "$echo", "m".repeat(60)]);
  const sent = generic
    ? [text(method), { type: "list", class: "[string", items: args.map(() => text("x")) },
       { type: "list", class: "[object", items: args }]
    : args;
  return {
    framework: pick(["2.0.2", "2.5.3", "2.7.15"]),
    service: `com.heptad.Service${next(20)}`,
    version: pick(["", "1.0", "0.0.0"]),
    method: generic ? pick(["$invoke", "$invokeAsync"]) : method,
    types: generic ? GENERIC : sent.map(() => pick(TYPES)).join(""),
    sent,
    attachments: attachments(),
    real: { method, args },
  };
}

// What rules must see.
function said({ service, version, attachments, real }) {
  const all = new Map(attachments.entries.map(([k, v]) => [k.value, v]));
  return line({
    service: all.get("path")?.value ?? service,
    version: all.get("version")?.value ?? version,
    method: real.method,
    attachments: all,
    args: real.args,
  });
}

function frame(id, request) {
  const writer = next(2) === 0 ? byLibrary() : byChance(random);
  for (const name of ["framework", "service", "version", "method", "types"]) {
    writer.text(request[name]);
  }
  request.sent.forEach(writer.value);
  writer.value(request.attachments);
  const body = writer.bytes();
  const head = Buffer.alloc(16);
  head.set([0xda, 0xbb, pick([0xc2, 0xc2, 0x82]), 0]);
  head.writeBigUInt64BE(BigInt(id), 4);
  head.writeUInt32BE(body.length, 12);
  return Buffer.concat([head, body]);
}

const requests = times(Number(count), request);
fs.writeFileSync(frames, Buffer.concat(requests.map((one, id) => frame(id, one))));
fs.writeFileSync(lines, requests.map((one) => said(one) + "\n").join(""));
