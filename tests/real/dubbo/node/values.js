// Values of all types that hessian2 has, and a form of values that shows their types and order.
"use strict";

const java = require("js-to-java");

const INTS = [
  0, 1, -1, -16, -17, 47, 48, -2048, -2049, 2047, 2048, -262144, -262145, 262143, 262144,
  2147483647, -2147483648,
];
const LONGS = [
  "0", "1", "-1", "-8", "-9", "15", "16", "-2048", "-2049", "2047", "2048", "-262144", "-262145",
  "262143", "262144", "2147483647", "-2147483648", "2147483648", "9007199254740993",
  "9223372036854775807", "-9223372036854775808",
];
const DOUBLES = [
  0, 1, -1, 127, 128, -128, -129, 32767, 32768, -32768, -32769, 0.001, -12.345, 3.14159265358979,
  1e300, -1e-300, 2147483648.5,
];
const STRINGS = {
  empty: "",
  ascii: "plain",
  latin: "Grüße, señor",
  chinese: "你好，世界",
  emoji: "a😀b👨‍👩‍👧c",
  nul: "a\u0000b",
  31: "x".repeat(31),
  32: "x".repeat(32),
  1023: "ß".repeat(1023),
  1024: "ß".repeat(1024),
  32767: "y".repeat(32767),
  32768: "y".repeat(32768),
  70000: "中".repeat(70000),
};

const user = (id) => ({
  $class: "com.heptad.User",
  $: {
    id: { $class: "long", $: id },
    name: `user-${id}`,
    tags: { $class: "java.util.List", $: ["a", "b"] },
  },
});

const date = (value) => ({ $class: "java.util.Date", $: value });

function cycle() {
  const node = { name: "loop", next: null };
  node.next = node;
  return node;
}

function twice() {
  const one = { a: 1 };
  return [one, one, { again: one }];
}

const deep = (n) => (n === 0 ? "bottom" : [deep(n - 1)]);

// Kind by kind, as values of js-to-java: both libraries take them.
function typed() {
  const all = {};
  all.true = () => java.Boolean(true);
  all.false = () => java.Boolean(false);
  for (const n of INTS) all[`int ${n}`] = () => java.int(n);
  for (const n of INTS) all[`Integer ${n}`] = () => java.Integer(n);
  for (const n of LONGS) all[`long ${n}`] = () => java.Long(n);
  for (const n of DOUBLES) all[`double ${n}`] = () => java.Double(n);
  for (const [name, s] of Object.entries(STRINGS)) all[`string ${name}`] = () => java.String(s);
  all["list empty"] = () => java.List([]);
  all["list mixed"] = () => java.List([1, "two", null, true, 4.5, [5]]);
  all["list of strings"] = () => java.List(["a", "b", "c"]);
  all["list of 100"] = () => java.List(Array.from({ length: 100 }, (_, i) => i));
  all["array of strings"] = () => java.array.String(["a", "b"]);
  all["array of ints"] = () => java.array.int([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  all["map empty"] = () => java.HashMap({});
  all["map"] = () => java.HashMap({ a: 1, b: "two", c: [3], d: { e: null } });
  all["map of a class"] = () => ({ $class: "com.heptad.Settings", $: { on: true } });
  all["object"] = () => user("7");
  all["objects of one class"] = () => java.List([user("1"), user("2"), user("3")]);
  all["date"] = () => date(new Date(1700000000123));
  all["date of a minute"] = () => date(new Date(1700000040000));
  all["date before 1970"] = () => date(new Date(-1000));
  all["nested 30 deep"] = () => java.List(deep(30));
  return all;
}

// What libraries write without being told the type.
function untyped() {
  return {
    null: () => null,
    "binary empty": () => Buffer.alloc(0),
    "binary 15": () => Buffer.from("fifteen bytes..".slice(0, 15)),
    "binary 16": () => Buffer.alloc(16, 1),
    "binary 1024": () => Buffer.alloc(1024, 2),
    "binary 70000": () => Buffer.alloc(70000, 3),
    "one object twice": twice,
    cycle,
  };
}

// JSON that keeps type and order, and ends at a value that is inside of itself.
function plain(value, above = []) {
  if (value === undefined) return { undefined: true };
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return short(value);
  if (typeof value === "number") return { number: String(value) };
  if (typeof value === "bigint") return { bigint: String(value) };
  if (Buffer.isBuffer(value)) return { buffer: short(value.toString("latin1")) };
  if (value instanceof Date) return { date: value.getTime() };
  if (above.includes(value)) return { cycle: above.length - above.indexOf(value) };
  const inside = [...above, value];
  if (value instanceof Error) return { error: value.name, text: short(value.message) };
  if (Array.isArray(value)) return value.map((v) => plain(v, inside));
  if (typeof value.toNumber === "function") return { long: value.toString() };
  if (value instanceof Map) {
    return { map: [...value].map(([k, v]) => [plain(k, inside), plain(v, inside)]) };
  }
  return { object: Object.entries(value).map(([k, v]) => [k, plain(v, inside)]) };
}

// Long text by its length, ends and a sum.
function short(text) {
  if (text.length <= 2000) return text;
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
  return `${text.slice(0, 20)}…${text.slice(-20)} (${text.length}, ${sum})`;
}

const asJson = (value) => JSON.stringify(plain(value));

module.exports = { asJson, date, plain, short, typed, untyped };
