// Random values of all types of Hessian 2 that hessian.js can write, nested, with values in several
// places and values inside of themselves. The same seed gives the same values.
"use strict";

function generator(seed) {
  let state = seed >>> 0 || 1;
  // A small generator of 32 bits: nothing here needs a good one.
  function next(below) {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  }
  const pick = (all) => all[next(all.length)];
  const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));
  return { next, pick, times };
}

const LETTERS = ["a", "Z", "0", " ", "\u0000", "ß", "é", "中", "€", "😀", "𝄞", "\uffff", "\n", '"'];
const CLASSES = ["com.heptad.User", "com.heptad.Order", "java.util.Locale", "a.B$C"];
const FIELDS = {
  "com.heptad.User": ["id", "name", "tags"],
  "com.heptad.Order": ["user", "lines", "total", "note"],
  "java.util.Locale": ["value"],
  "a.B$C": [],
};

function values(random) {
  const { next, pick, times } = random;
  const made = [];

  const text = (longest = 40) => {
    const size = pick([0, 1, 5, next(longest), next(longest)]);
    return times(size, () => pick(LETTERS)).join("");
  };
  const int = () => {
    const near = pick([0, -16, 47, -2048, 2047, -262144, 262143, 2147483646, -2147483647]);
    return Math.max(-2147483648, Math.min(2147483647, near + next(3) - 1));
  };
  const long = () => {
    const near = pick([0n, -8n, 15n, -2048n, 2047n, -262144n, 262143n, 2n ** 31n, -(2n ** 31n), 2n ** 53n]);
    const wide = [2n ** 63n - 1n, -(2n ** 63n)];
    return next(6) === 0 ? pick(wide) : near + BigInt(next(3) - 1);
  };
  const double = () =>
    pick([0, 1, -1, 127, -128, 32767, -32769, 0.001, -1.5, 3.14159, 1e300, 65.536]);

  // A scalar as { type, value }: a writer decides how it is written.
  const scalar = () =>
    pick([
      () => ({ type: "null" }),
      () => ({ type: "boolean", value: next(2) === 0 }),
      () => ({ type: "int", value: int() }),
      () => ({ type: "int", value: int() }),
      () => ({ type: "long", value: long() }),
      () => ({ type: "double", value: double() }),
      () => ({ type: "text", value: text() }),
      () => ({ type: "text", value: text() }),
      () => ({ type: "text", value: pick(["x", "中", "😀"]).repeat(pick([31, 32, 1023, 1024, 2000])) }),
      () => ({ type: "date", value: pick([0, 60000, 1700000000123, -1, 1700000040000]) }),
      () => ({ type: "bytes", value: Buffer.alloc(pick([0, 1, 15, 16, 1023, 1024, 5000]), 7) }),
    ])();

  function any(depth) {
    if (depth <= 0 || next(3) === 0) return scalar();
    if (made.length > 0 && next(6) === 0) return pick(made);
    return pick([list, list, map, object])(depth - 1);
  }
  // Into `made` before what is inside, so that it can be inside of itself.
  function list(depth) {
    const one = { type: "list", class: pick([null, null, "[int", "java.util.ArrayList", "[string"]) };
    made.push(one);
    one.items = times(pick([0, 1, 3, 7, 8, next(20)]), () => any(depth));
    return one;
  }
  function map(depth) {
    const one = { type: "map", class: pick([null, null, "java.util.TreeMap"]) };
    made.push(one);
    one.entries = times(next(5), () => [scalarKey(), any(depth)]);
    return one;
  }
  const scalarKey = () =>
    pick([() => ({ type: "text", value: text(10) }), () => ({ type: "int", value: int() })])();
  function object(depth) {
    const name = pick(CLASSES);
    const one = { type: "object", class: name };
    made.push(one);
    one.fields = FIELDS[name].map((field) => [field, any(depth)]);
    return one;
  }
  // One more frame: values of the last one are no longer there to be referred to.
  function fresh() {
    made.length = 0;
  }
  return { any, fresh, int, long, text };
}

module.exports = { generator, values };
