import assert from "node:assert/strict";
import test from "node:test";

import { Boundary } from "../../../spisonet/gui/static/viewer/boundary.js";

const SCENE = { volume: { name: "TS_1.mrc" }, changed() {} };
const TARGET = { boundary: "boundary/TS_1.mod" };
const SQUARE = [[1, 1, 4], [5, 1, 4], [5, 5, 4]];

const element = () => ({ style: {}, dataset: {}, append() {}, remove() {}, setAttribute() {}, addEventListener() {} });

/** Stand in for the page and the server, which answers the reading of the boundary; returns what is saved. */
function serve(context, status, read) {
  const saved = [];
  context.mock.method(globalThis, "setTimeout", () => 0); // of notices
  globalThis.document = { createElement: element, getElementById: () => null };
  context.mock.method(globalThis, "fetch", async (path, options) => {
    if (options?.method === "POST") saved.push(JSON.parse(options.body));
    const isRead = path.startsWith("api/boundary?");
    const answer = isRead ? read : (saved.at(-1)?.name ?? "boundary/TS_1_2.mod");
    return new Response(JSON.stringify(answer), { status: isRead ? status : 200, headers: { "content-type": "application/json" } });
  });
  return saved;
}

test("a boundary that is shown is replaced", async (context) => {
  const saved = serve(context, 200, [SQUARE]);
  const boundary = await Boundary.open(SCENE, TARGET);
  boundary.toggleEditing();
  await boundary.save();
  assert.deepEqual([saved[0].name, saved[0].replaced], [TARGET.boundary, TARGET.boundary]);
  assert.deepEqual(saved[0].contours, [SQUARE]);
});

test("a boundary that cannot be read is not replaced, and another name is proposed", async (context) => {
  const saved = serve(context, 400, { error: "drawn on an image of another size" });
  const boundary = await Boundary.open(SCENE, TARGET);
  boundary.contours.push(SQUARE);
  boundary.toggleEditing();
  await boundary.save();
  assert.deepEqual([saved[0].name, saved[0].replaced], ["boundary/TS_1_2.mod", ""]);
});
