// Requests to the server. Addresses are relative, because the address of the page contains the token.

/** An error reported by the server: its message, its code, and for forms the messages by field. */
export class RequestError extends Error {
  /**
   * @param {string} message
   * @param {string} [code]
   * @param {Record<string, string>} [fieldErrors]
   */
  constructor(message, code, fieldErrors) {
    super(message);
    this.code = code;
    this.fieldErrors = fieldErrors ?? {};
  }
}

/** The server cannot be reached, or has another address now. A banner tells it while it lasts. */
export class ConnectionError extends RequestError {}

/** @type {(text: string) => void} text of the banner; empty while the connection works */
let tellConnection = () => {};

/** @param {(text: string) => void} tell called with the state of the connection after every request */
export function onConnection(tell) {
  tellConnection = tell;
}

const NO_CONNECTION = "No connection to the interface; this page tries again until it is back. Check that the interface is running and that the ssh connection is open.";
const OTHER_ADDRESS = "The interface was restarted with another address: open the address that it printed.";

/** @param {string} text */
function connectionLost(text) {
  tellConnection(text);
  return new ConnectionError(text);
}

/** @param {Response} response */
async function parseResponse(response) {
  const type = response.headers.get("content-type") ?? "";
  const content = type.startsWith("application/json") ? await response.json() : await response.text();
  if (!response.ok) throw new RequestError(content.error ?? content, content.code, content.field_errors);
  return content;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw connectionLost(NO_CONNECTION);
  }
  const isPage = response.headers.get("content-type")?.startsWith("text/plain");
  if (response.status === 403 && isPage) throw connectionLost(OTHER_ADDRESS);
  tellConnection("");
  return response;
}

/** @typedef {Record<string, any>} Values */

/**
 * @param {string} path
 * @param {Values} [values] undefined and null are omitted
 */
export function address(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const query = new URLSearchParams(given);
  return given.length ? `${path}?${query}` : path;
}

/**
 * @param {string} path
 * @param {Values} [values]
 * @returns {Promise<any>}
 */
export async function get(path, values) {
  return parseResponse(await send(address(`api/${path}`, values)));
}

/**
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<any>}
 */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return parseResponse(await send(`api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
}

/**
 * Densities for a surface, and their scale.
 *
 * @typedef {{ voxels: Uint8Array, shape: [number, number, number], low: number, high: number, mean: number,
 *   standard_deviation: number, voxel_size: number | null }} SurfaceVoxels `mean` and `standard_deviation` on the scale of the voxels
 * @param {Values} values
 * @returns {Promise<SurfaceVoxels>}
 */
export async function getSurface(values) {
  const response = await send(address("api/surface", values));
  if (!response.ok) return parseResponse(response);
  return { voxels: new Uint8Array(await response.arrayBuffer()), ...JSON.parse(response.headers.get("X-Surface") ?? "{}") };
}
