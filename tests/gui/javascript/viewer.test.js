import assert from "node:assert/strict";
import test from "node:test";

import { countsByDensity, enclosedVoxels, levelEnclosing, volumeText } from "../../../spisonet/gui/static/viewer/enclosed_volume.js";
import { latestOnly } from "../../../spisonet/gui/static/viewer/image.js";
import { GAP, paneLayout, sideBySideLayout, spectrumLayout, zoomedPlane } from "../../../spisonet/gui/static/viewer/layout.js";
import { lengthsText, lengthText, roundLength } from "../../../spisonet/gui/static/viewer/scale_bar.js";
import { Scene } from "../../../spisonet/gui/static/viewer/scene.js";
import { resolutionAt, ringResolutions, wedgeEnds } from "../../../spisonet/gui/static/viewer/spectrum.js";
import { Volume } from "../../../spisonet/gui/static/viewer/volume.js";

const SHAPE = [40, 60, 100]; // z, y, x
const described = (changes) => ({ shape: SHAPE, voxel_size: 10, contrast: [-1, 3], mean: 0, standard_deviation: 1, version: "1", ...changes });
const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-9, `${found} instead of ${expected}`);

for (const arrange of [paneLayout, sideBySideLayout]) {
  for (const shape of [SHAPE, [100, 100, 100], [1, 60, 100], [200, 512, 512]]) {
    test(`${arrange.name} of ${shape} keeps proportions and fits into the area without overlaps`, () => {
      const { scale, boxes } = arrange(shape, 1000, 700);
      const all = boxes.flatMap((each) => Object.values(each));
      assert.equal(all.length, boxes.length * (shape[0] === 1 ? 1 : 3));
      near(boxes[0].z.width, scale * shape[2]);
      near(boxes[0].z.height, scale * shape[1]);
      for (const box of all) {
        assert.ok(box.left >= GAP && box.left + box.width <= 1000 + 2 * GAP + 1e-6);
        assert.ok(box.top >= GAP && box.top + box.height <= 700 + 2 * GAP + 1e-6);
        for (const other of all.filter((each) => each !== box)) {
          const besides = box.left >= other.left + other.width || other.left >= box.left + box.width;
          assert.ok(besides || box.top >= other.top + other.height || other.top >= box.top + box.height);
        }
      }
    });
  }
}

test("a flat image has one spectrum for each volume", () => {
  assert.deepEqual(spectrumLayout([1, 60, 100], 1000, 700, 2).boxes.map(Object.keys), [["z"], ["z"]]);
});

test("spectra of one volume stand in a square if that makes them larger", () => {
  const { z, y, x } = spectrumLayout(SHAPE, 700, 700, 1).boxes[0];
  near(z.width, (700 - GAP) / 2);
  assert.ok(x.top > z.top && y.top === z.top);
  const inRow = spectrumLayout(SHAPE, 1500, 500, 1).boxes[0];
  assert.ok(inRow.x.top === inRow.z.top && inRow.z.width > 490);
});

test("a zoomed pane shows its centre, and the whole plane without zoom", () => {
  const pane = { width: 200, height: 120 };
  assert.deepEqual(zoomedPlane(pane, 1, [49.5, 29.5], [100, 60]), { left: 0, top: 0, width: 200, height: 120 });
  const { left, top } = zoomedPlane(pane, 4, [9.5, 49.5], [100, 60]);
  near(left + (10 / 100) * 800, 100);
  near(top + (1 - 50 / 60) * 480, 60);
});

test("zooming keeps a point in place and never leaves the volume", () => {
  const scene = new Scene(new Volume("v.mrc", undefined, described()));
  const before = (20 - scene.centre.x) * scene.zoom;
  scene.zoomBy(2, { x: 20, y: 30 });
  near((20 - scene.centre.x) * scene.zoom, before);
  scene.panBy({ x: -1000, y: 1000 });
  near(scene.centre.x + 0.5, 25);
  near(scene.centre.y + 0.5, 45);
  scene.resetZoom();
  assert.equal(scene.zoom, 1);
  near(scene.centre.x + 0.5, 50);
});

test("the crosshair stays in the volume", () => {
  const scene = new Scene(new Volume("v.mrc", undefined, described()));
  scene.moveTo({ z: 41.7, x: -3 });
  assert.deepEqual(scene.position, { z: 39, y: 30, x: 0 });
});

test("the second map is drawn with the contrast of the first, in standard deviations", () => {
  const first = new Volume("a.mrc", undefined, described());
  const second = new Volume("b.mrc", undefined, described({ mean: 10, standard_deviation: 2 }));
  assert.equal(new Scene(first, { second }).second, second);
  assert.deepEqual([second.low, second.high], [8, 16]);
});

test("scale bars have round lengths", () => {
  assert.equal(roundLength(1, 120).angstrom, 100);
  assert.equal(roundLength(0.9, 120).angstrom, 100);
  assert.equal(roundLength(0.8, 120).angstrom, 50);
  near(roundLength(13.3, 120).pixels, 1000 / 13.3);
  assert.equal(lengthText(50), "50 Å");
  assert.equal(lengthText(2000), "200 nm");
  assert.equal(lengthsText([0, 12.5, 99]), "0.0, 12.5, 99.0 Å");
  assert.equal(lengthsText([0, 12.5, 160]), "0.0, 1.3, 16.0 nm");
});

test("resolution rings lie between the centre and Nyquist, apart from each other", () => {
  for (const voxelSize of [0.5, 1.31, 5.2, 13.33]) {
    const radii = ringResolutions(voxelSize).map((resolution) => (2 * voxelSize) / resolution);
    assert.ok(radii.length >= 2, `${voxelSize}`);
    radii.forEach((radius, index) => assert.ok(radius < 0.95 && radius - (radii[index - 1] ?? 0) > 0.15));
  }
  near(resolutionAt([0, 1], 2), 4);
  near(resolutionAt([0.5, 0], 2), 8);
  assert.equal(resolutionAt([0, 0], 2), null);
});

test("a tilt measures the direction (cos, sin) of kx and kz", () => {
  const [[x0, z0], [x1, z1]] = wedgeEnds([-60, 45]);
  near(z0 / x0, -Math.tan(Math.PI / 3));
  near(x1, 1);
  near(z1, 1);
});

test("an isosurface encloses the voxels above its level, and another map's level encloses as many", () => {
  const counts = countsByDensity(new Uint8Array([0, 10, 10, 200, 250, 255]));
  assert.equal(enclosedVoxels(counts, 100, false), 3);
  assert.equal(enclosedVoxels(counts, 100, true), 3);
  assert.equal(enclosedVoxels(counts, 5, true), 1);
  const level = levelEnclosing(counts, 2, false);
  assert.equal(enclosedVoxels(counts, level, false), 2);
  assert.equal(enclosedVoxels(counts, levelEnclosing(counts, 1, true), true), 1);
  assert.equal(volumeText(121_000), "121 nm³, 100 kDa of protein");
});

test("of values that arrive while one is handled, only the last is handled", async () => {
  const handled = [];
  const handle = latestOnly(async (value) => {
    await Promise.resolve();
    handled.push(value);
  });
  await Promise.all([handle(1), handle(2), handle(3)]);
  assert.deepEqual(handled, [1, 3]);
});
