// Asking the program. An answer that is an error becomes one.

import { visible } from "./format.js";

export async function ask(name, query = {}, signal = undefined) {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null));
  return answer(await request(`api/${name}?${q}`, { signal }));
}

// again has all files read anew. The header is one that no page of another site can send.
export async function again() {
  return answer(await request("api/again", { headers: { "Stateio-View": "again" } }));
}

// request is fetch, whose failures each browser has its own words for.
async function request(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch (e) {
    throw e.name === "AbortError" ? e : new Error("The program does not answer any more.");
  }
}

async function answer(r) {
  const kind = r.headers.get("Content-Type") || "";
  if (!kind.includes("json")) {
    const why = kind.startsWith("text/plain") ? await r.text() : ""; // all else is a page of somebody else's
    throw new Error(why || `The program does not answer: something in between says status ${r.status}.`);
  }
  const v = await r.json();
  if (!r.ok || v.error) throw new Error(visible(v.error || `status ${r.status}`));
  return v;
}
