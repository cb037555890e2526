// Asking the program. An answer that is an error becomes one.

import { visible } from "./format.js";

export async function ask(name, query = {}, signal = undefined) {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null));
  return answer(await fetch(`api/${name}?${q}`, { signal, credentials: "same-origin" }));
}

// again has all files read anew. The header is one that no page of another site can send.
export async function again() {
  return answer(await fetch("api/again", { credentials: "same-origin", headers: { "Stateio-View": "again" } }));
}

async function answer(r) {
  const kind = r.headers.get("Content-Type") || "";
  if (!kind.includes("json")) throw new Error(await r.text() || `status ${r.status}`);
  const v = await r.json();
  if (!r.ok || v.error) throw new Error(visible(v.error || `status ${r.status}`));
  return v;
}
