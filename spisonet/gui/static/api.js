// Questions to the server. Addresses are relative: the page's own holds the token.

export class Refusal extends Error {
  constructor(message, faults) {
    super(message);
    this.faults = faults ?? {};
  }
}

async function answer(response) {
  const type = response.headers.get("content-type") ?? "";
  const content = type.startsWith("application/json") ? await response.json() : await response.text();
  if (!response.ok) throw new Refusal(content.error ?? content, content.faults);
  return content;
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Refusal("The interface does not answer: is it still running, and the ssh connection open?");
  }
}

export function address(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const query = new URLSearchParams(given);
  return given.length ? `${path}?${query}` : path;
}

export async function get(path, values) {
  return answer(await reach(address(`api/${path}`, values)));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return answer(await reach(`api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function getSurface(name) {
  const response = await reach(address("api/surface", { name }));
  if (!response.ok) return answer(response);
  return { voxels: new Uint8Array(await response.arrayBuffer()), ...JSON.parse(response.headers.get("X-Facts")) };
}
