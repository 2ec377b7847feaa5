import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const VENDORED = {
  "uPlot.esm.js": "dist/uPlot.esm.js",
  "uPlot.min.css": "dist/uPlot.min.css",
  LICENSE: "LICENSE",
};

for (const [file, origin] of Object.entries(VENDORED)) {
  test(`vendor/uplot/${file} is that of the pinned package`, () => {
    const shipped = new URL(`../../../spisonet/gui/static/vendor/uplot/${file}`, import.meta.url);
    const pinned = new URL(`../../../node_modules/uplot/${origin}`, import.meta.url);
    assert.equal(readFileSync(shipped, "utf8"), readFileSync(pinned, "utf8"));
  });
}
