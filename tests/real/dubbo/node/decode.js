// Reads requests in Hessian 2 from standard input, one behind the other, with the decoder of
// hessian.js, and prints what they say as ./generate.js does.
"use strict";

const fs = require("node:fs");
const hessian = require("hessian.js");
const { line } = require("./lines");

// Tells what it read as a long or a double, which are numbers like any other in JavaScript.
class Decoder extends hessian.DecoderV2 {
  readLong() {
    return { type: "long", value: super.readLong() };
  }
  readDouble() {
    super.readDouble();
    return { type: "double" };
  }
}

function known(value) {
  if (typeof value === "string") return { type: "text", value };
  if (typeof value === "number") return { type: "int", value };
  return value && value.type === "long" ? value : { type: "other" };
}

const entries = (map) => (map instanceof Map ? [...map] : Object.entries(map));

function request(body) {
  const decoder = new Decoder(body);
  const [, path, version, method, types] = Array.from({ length: 5 }, () => decoder.readString());
  const count = (types.match(/\[*(?:[VZBCDFIJS]|L[^;]*;)/g) ?? []).length;
  let args = Array.from({ length: count }, () => decoder.read());
  const attachments = new Map(entries(decoder.read()).map(([k, v]) => [k, known(v)]));
  let real = method;
  if (method === "$invoke" || method === "$invokeAsync") {
    real = known(args[0]).value;
    args = args[2];
  }
  return line({
    service: attachments.get("path")?.value ?? path,
    version: attachments.get("version")?.value ?? version,
    method: real,
    attachments,
    args: args.map(known),
  });
}

// It does not know every form: `null` then, which is no line of a request.
function read(body) {
  try {
    return request(body);
  } catch (error) {
    if (process.env.WHY) console.error(error.message);
    return "null";
  }
}

const bytes = fs.readFileSync(0);
const lines = [];
for (let at = 0; at < bytes.length; ) {
  const end = at + 16 + bytes.readUInt32BE(at + 12);
  lines.push(read(bytes.subarray(at + 16, end)) + "\n");
  at = end;
}
process.stdout.write(lines.join(""));
