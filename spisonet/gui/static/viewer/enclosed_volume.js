// Volume that an isosurface encloses.

const ANGSTROM3_PER_DALTON = 1.21; // mean of proteins
const ANGSTROM3_PER_NM3 = 1000;

/**
 * Number of voxels by their density.
 *
 * @param {Uint8Array} voxels
 */
export function countsByDensity(voxels) {
  const counts = new Array(256).fill(0);
  for (const density of voxels) counts[density] += 1;
  return counts;
}

/**
 * Number of voxels above a level, or below it.
 *
 * @param {number[]} counts by density
 * @param {number} level in 0..255
 * @param {boolean} negative
 */
export function enclosedVoxels(counts, level, negative) {
  return counts.reduce((sum, count, density) => (density > level !== negative && density !== level ? sum + count : sum), 0);
}

/**
 * Level that encloses at most as many voxels as given; the inverse of `enclosedVoxels`.
 *
 * @param {number[]} counts by density
 * @param {number} nVoxels
 * @param {boolean} negative
 */
export function levelEnclosing(counts, nVoxels, negative) {
  const densities = counts.map((_, density) => density);
  if (!negative) densities.reverse();
  let enclosed = 0;
  for (const density of densities) {
    if (enclosed + counts[density] > nVoxels) return density;
    enclosed += counts[density];
  }
  return densities[densities.length - 1];
}

/**
 * A volume in nm³, and the mass of protein that fills it.
 *
 * @param {number} angstrom3
 */
export function volumeText(angstrom3) {
  const digits = (/** @type {number} */ value) => Number(value.toPrecision(3)).toLocaleString("en");
  return `${digits(angstrom3 / ANGSTROM3_PER_NM3)} nm³, ${digits(angstrom3 / ANGSTROM3_PER_DALTON / 1000)} kDa of protein`;
}
