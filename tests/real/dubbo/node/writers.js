// Two writers of the values of ./random-values.js: hessian.js, and one that knows every form that
// Hessian 2 has for a value and draws one of them each time.
"use strict";

const hessian = require("hessian.js");

// The forms of hessian.js; the same value becomes the same object, which it writes as a reference.
function byLibrary() {
  const encoder = new hessian.EncoderV2();
  const known = new Map();

  function form(value) {
    if (known.has(value)) return known.get(value);
    switch (value.type) {
      case "null": return null;
      case "int": return { $class: "int", $: value.value };
      case "long": return { $class: "long", $: value.value.toString() };
      case "double": return { $class: "double", $: value.value };
      case "date": return new Date(value.value);
      case "list": {
        const items = [];
        const typed = value.class ? { $class: value.class, $: items } : items;
        known.set(value, typed);
        value.items.forEach((item) => items.push(form(item)));
        return typed;
      }
      case "map": {
        const entries = new Map();
        known.set(value, entries);
        value.entries.forEach(([k, v]) => entries.set(k.value, form(v)));
        return entries;
      }
      case "object": {
        const fields = {};
        const typed = { $class: value.class, $: fields };
        known.set(value, typed);
        value.fields.forEach(([k, v]) => (fields[k] = form(v)));
        return typed;
      }
      default: return value.value;
    }
  }
  return {
    text: (text) => encoder.writeString(text),
    value: (value) => encoder.write(form(value)),
    bytes: () => encoder.get(),
  };
}

// Every form by chance.
function byChance({ next, pick }) {
  const out = [];
  const seen = [];
  const classes = [];
  const types = [];
  const put = (...bytes) => out.push(Buffer.from(bytes));

  function number(width, value, ...tag) {
    const buffer = Buffer.alloc(width);
    buffer[width === 8 ? "writeBigInt64BE" : width === 4 ? "writeInt32BE" : "writeUInt16BE"](value);
    put(...tag, ...buffer);
  }
  function int(n) {
    const within = (low, high) => n >= low && n <= high && next(3) > 0;
    if (within(-16, 47)) return put(0x90 + n);
    if (within(-2048, 2047)) return put(0xc8 + (n >> 8), n & 255);
    if (within(-262144, 262143)) return put(0xd4 + (n >> 16), (n >> 8) & 255, n & 255);
    return number(4, n, 0x49);
  }
  function long(big) {
    const n = Number(big);
    const within = (low, high) => n >= low && n <= high && next(3) > 0;
    if (within(-8, 15)) return put(0xe0 + n);
    if (within(-2048, 2047)) return put(0xf8 + (n >> 8), n & 255);
    if (within(-262144, 262143)) return put(0x3c + (n >> 16), (n >> 8) & 255, n & 255);
    if (within(-2147483648, 2147483647)) return number(4, n, 0x59);
    return number(8, big, 0x4c);
  }
  function double(n) {
    if (n === 0 && next(2)) return put(0x5b);
    if (n === 1 && next(2)) return put(0x5c);
    if (Number.isInteger(n) && Math.abs(n) < 128 && next(2)) return put(0x5d, n & 255);
    if (Number.isInteger(n) && Math.abs(n) < 32768 && next(2)) {
      return put(0x5e, (n >> 8) & 255, n & 255);
    }
    const buffer = Buffer.alloc(8);
    buffer.writeDoubleBE(n);
    return put(0x44, ...buffer);
  }
  // Halves of a pair as three bytes each, as Java writes them.
  function units(text) {
    const bytes = [];
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c < 0x80) bytes.push(c);
      else if (c < 0x800) bytes.push(0xc0 | (c >> 6), 0x80 | (c & 63));
      else bytes.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
    }
    return Buffer.from(bytes);
  }
  function text(value) {
    let rest = value;
    while (next(4) === 0) {
      // A pair may come apart.
      const part = rest.slice(0, next(rest.length + 1));
      number(2, part.length, 0x52);
      out.push(units(part));
      rest = rest.slice(part.length);
    }
    if (rest.length < 32 && next(4)) put(rest.length);
    else if (rest.length < 1024 && next(4)) put(0x30 + (rest.length >> 8), rest.length & 255);
    else number(2, rest.length, 0x53);
    out.push(units(rest));
  }
  function bytes(value) {
    let rest = value;
    while (next(4) === 0) {
      const part = rest.subarray(0, next(rest.length + 1));
      number(2, part.length, 0x41);
      out.push(part);
      rest = rest.subarray(part.length);
    }
    if (rest.length < 16 && next(4)) put(0x20 + rest.length);
    else if (rest.length < 1024 && next(4)) put(0x34 + (rest.length >> 8), rest.length & 255);
    else number(2, rest.length, 0x42);
    out.push(rest);
  }
  function date(ms) {
    if (ms % 60000 === 0 && next(2)) return number(4, ms / 60000, 0x4b);
    return number(8, BigInt(ms), 0x4a);
  }
  function type(name) {
    const at = types.indexOf(name);
    if (at >= 0 && next(3)) return int(at);
    types.push(name);
    return text(name);
  }
  function list(value) {
    const { items } = value;
    const short = items.length < 8 && next(3) > 0;
    const endless = !short && next(2) === 0;
    if (endless) put(value.class ? 0x55 : 0x57);
    else if (short) put((value.class ? 0x70 : 0x78) + items.length);
    else put(value.class ? 0x56 : 0x58);
    if (value.class) type(value.class);
    if (!short && !endless) int(items.length);
    items.forEach(any);
    if (endless) put(0x5a);
  }
  function map(value) {
    if (value.class) {
      put(0x4d);
      type(value.class);
    } else {
      put(0x48);
    }
    value.entries.forEach(([k, v]) => (any(k), any(v)));
    put(0x5a);
  }
  function object(value) {
    let at = classes.indexOf(value.class);
    if (at < 0 || next(8) === 0) {
      put(0x43);
      text(value.class);
      int(value.fields.length);
      value.fields.forEach(([name]) => text(name));
      at = classes.push(value.class) - 1;
    }
    if (at < 16 && next(4)) put(0x60 + at);
    else put(0x4f), int(at);
    value.fields.forEach(([, v]) => any(v));
  }
  const WRITERS = { int, long, double, text, bytes, date };
  function any(value) {
    if (value.type === "null") return put(0x4e);
    if (value.type === "boolean") return put(value.value ? 0x54 : 0x46);
    if (value.type in WRITERS) return WRITERS[value.type](value.value);
    const at = seen.indexOf(value);
    if (at >= 0) {
      put(0x51);
      return int(at);
    }
    seen.push(value);
    return { list, map, object }[value.type](value);
  }
  return { text, value: any, bytes: () => Buffer.concat(out) };
}

module.exports = { byChance, byLibrary };
