// A request as one line of JSON. Values are { type, value }; integers are printed whole, however
// long they are.
"use strict";

function shown(value) {
  if (value.type === "text") return JSON.stringify(value.value);
  if (value.type === "int" || value.type === "long") return String(value.value);
  return "null";
}

function line({ service, version, method, attachments, args }) {
  const pairs = [...attachments].map(([k, v]) => `${JSON.stringify(k)}:${shown(v)}`);
  const texts = Object.entries({ service, version, method });
  const fields = texts.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`);
  return `{${fields},"attachments":{${pairs}},"args":[${args.map(shown)}]}`;
}

module.exports = { line };
