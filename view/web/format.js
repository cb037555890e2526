// How things are said: numbers, sizes, times and payloads.

export const contents = ["not read yet", "header", "updates", "state", "end of the file's data", "space set aside",
  "given back to the file system", "torn, never acknowledged", "damage", "can't be told, after damage"];
export const contentOf = { header: 1, update: 2, state: 3, end: 4, free: 5, hole: 6, torn: 7, damage: 8, stranded: 9 };

export const number = (n) => Number(n).toLocaleString("en-US");
export const plural = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;

export function size(n) {
  if (n < 1024) return plural(n, "byte");
  let unit = -1;
  while (n >= 1023.95 && unit < 4) { n /= 1024; unit++; }
  return `${n.toFixed(n < 10 ? 2 : 1)} ${"KMGTP"[unit]}iB`;
}

export function duration(ns) {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toPrecision(3)} s`;
}

// time returns a time in UTC, as 2006-01-02 15:04:05.000Z: the command prints and takes times
// in UTC, too, and those who look at one page together may be anywhere.
export const time = (t) => (t ? new Date(t).toISOString().replace("T", " ") : "");

// moment returns the milliseconds of a time as the page shows it, whole or its beginning: in UTC,
// unless it has a zone. NaN: it is none; the browser takes other forms in the time of its place.
export function moment(text) {
  const m = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[-+]\d\d:?\d\d)?)?$/i.exec(text);
  return m ? Date.parse(`${m[1]}T${m[2] || "00:00"}${m[3] || "Z"}`) : NaN;
}

// What is indented, as indent.go has it: deep nesting makes a text the square of what it was.
const maxPretty = 8 << 20, maxDepth = 100;

// indented returns a text of JSON with a line for each value. Numbers, members that stand
// twice and their order stay as they are, which JSON.parse would change.
export function indented(text) {
  JSON.parse(text); // it is none: an error
  let out = "", depth = 0, empty = false; // empty: something was opened, and nothing is in it yet
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const opens = token === "{" || token === "[", closes = token === "}" || token === "]";
    if (closes) depth--;
    if (empty !== closes) out += line();
    out += token === ":" ? ": " : token;
    if (token === ",") out += line();
    if (opens) depth++;
    empty = opens;
    if (depth > maxDepth || out.length > maxPretty) throw new Error("it would be too large once it is indented");
  }
  return out;
}

// filesOf returns what tells the files of a summary from others, and as they were read from
// how they were before they were read anew: counts don't.
export const filesOf = (s) => JSON.stringify(s.files.map((f) => [f.name, f.begun]));

export function span(ms) {
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 120) return `${s.toFixed(1)} s`;
  if (s < 7200) return `${(s / 60).toFixed(1)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(1)} h`;
  return `${(s / 86400).toFixed(1)} days`;
}

export function bytesOf(base64) {
  if (!base64) return new Uint8Array();
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

// textOf returns bytes as text, or null if they are none. A rune that is cut at the end is
// left out if more bytes would follow.
export function textOf(bytes, cut) {
  for (let drop = 0; drop <= (cut ? 3 : 0); drop++) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, bytes.length - drop));
      const odd = [...text].filter((c) => c < " " && !"\n\r\t".includes(c)).length;
      return odd * 10 > text.length ? null : text;
    } catch { /* not a text, or not whole */ }
  }
  return null;
}

export const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");

// visible makes control characters, and those that turn the direction of text, visible.
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// oneLine returns the beginning of a payload for a list.
export function oneLine(bytes, cut, format) {
  const text = format === "hex" ? null : format === "text" ? new TextDecoder().decode(bytes) : textOf(bytes, cut);
  if (text === null) return hex(bytes.subarray(0, 80)) + (cut || bytes.length > 80 ? " …" : "");
  return visible(text.replace(/[\n\t\r]+/g, " ")) + (cut ? "…" : "");
}

// dump returns bytes as lines of 16, with their offsets.
export function dump(bytes, from) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16);
    const text = [...line].map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : ".")).join("");
    lines.push(`${(from + at).toString(16).padStart(8, "0")}  ${hex(line).padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

// element makes an element. Text is always text, whatever is in it.
export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (value === true) e.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}
