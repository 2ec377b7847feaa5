// Requests to the server. Addresses are relative, because the address of the page contains the token.

/** An error reported by the server: its message, its code, and for forms the messages by field. */
export class RequestError extends Error {
  constructor(message, code, fieldErrors) {
    super(message);
    this.code = code;
    this.fieldErrors = fieldErrors ?? {};
  }
}

async function parseResponse(response) {
  const type = response.headers.get("content-type") ?? "";
  const content = type.startsWith("application/json") ? await response.json() : await response.text();
  if (!response.ok) throw new RequestError(content.error ?? content, content.code, content.field_errors);
  return content;
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new RequestError("No connection to the interface. Check that it is still running and that the ssh connection is open.");
  }
}

export function address(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const query = new URLSearchParams(given);
  return given.length ? `${path}?${query}` : path;
}

export async function get(path, values) {
  return parseResponse(await send(address(`api/${path}`, values)));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return parseResponse(await send(`api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function getSurface(name) {
  const response = await send(address("api/surface", { name }));
  if (!response.ok) return parseResponse(response);
  return { voxels: new Uint8Array(await response.arrayBuffer()), ...JSON.parse(response.headers.get("X-Surface")) };
}
