import assert from "node:assert/strict";
import test from "node:test";

import { columns, wholeRange } from "../../../spisonet/gui/static/chart.js";

test("series with different points share one column of x values", () => {
  const first = { name: "a", points: [[1, 0.5], [3, 0.25]] };
  const second = { name: "b", points: [[2, 0], [3, 4]] };
  assert.deepEqual(columns([first, second]), [[1, 2, 3], [0.5, null, 0.25], [null, 0, 4]]);
});

test("the axis shows all epochs that are planned, and never a range of zero", () => {
  assert.deepEqual(wholeRange(1, 4, 30), [1, 30]);
  assert.deepEqual(wholeRange(1, 1), [1, 2]);
});
