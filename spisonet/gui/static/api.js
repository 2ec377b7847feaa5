// @ts-check
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
  try {
    return await fetch(path, options);
  } catch {
    throw new RequestError("No connection to the interface. Check that it is still running and that the ssh connection is open.");
  }
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
