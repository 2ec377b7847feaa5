// Isosurface of a small volume: for each pixel, a ray is followed through a 3D texture until the density passes the threshold.

import { FRACTION_STOPS } from "./fraction_colours.js";

const VERTEX = `#version 300 es
in vec2 corner; out vec2 at;
void main() { at = corner; gl_Position = vec4(corner, 0.0, 1.0); }`;

const FRAGMENT = `#version 300 es
precision highp float; precision highp sampler3D;
in vec2 at; out vec4 colour;
uniform sampler3D volume, fraction; uniform bool coloured; uniform vec3 stops[3]; uniform mat3 orientation; uniform float level, sign_, zoom, aspect; uniform vec3 edges; uniform int steps;
float density(vec3 p) { return sign_ * (texture(volume, p / edges + 0.5).r - level); }
void main() {
  vec3 eye = orientation * vec3(0.0, 0.0, 2.6);
  vec3 ray = normalize(orientation * vec3(at.x * aspect * zoom, at.y * zoom, -2.6));
  vec3 a = (-0.5 * edges - eye) / ray, b = (0.5 * edges - eye) / ray;
  vec3 lo = min(a, b), hi = max(a, b);
  float near = max(max(lo.x, lo.y), max(lo.z, 0.0)), far = min(hi.x, min(hi.y, hi.z));
  colour = vec4(0.055, 0.10, 0.12, 1.0);
  if (near >= far) return;
  float stride = 1.75 / float(steps), t = near;
  for (int i = 0; i < 1024; i++) {
    if (t > far) return;
    if (density(eye + t * ray) > 0.0) break;
    t += stride;
  }
  if (t > far) return;
  float back = t - stride, ahead = t;
  for (int i = 0; i < 6; i++) {
    float middle = 0.5 * (back + ahead);
    if (density(eye + middle * ray) > 0.0) ahead = middle; else back = middle;
  }
  vec3 p = eye + ahead * ray; float e = 1.5 / float(steps);
  vec3 slope = vec3(density(p + vec3(e,0,0)) - density(p - vec3(e,0,0)), density(p + vec3(0,e,0)) - density(p - vec3(0,e,0)),
                    density(p + vec3(0,0,e)) - density(p - vec3(0,0,e)));
  vec3 normal = length(slope) > 0.0 ? -normalize(slope) : -ray;
  vec3 light = normalize(orientation * vec3(0.5, 0.7, 1.0));
  float diffuse = max(dot(normal, light), 0.0), shine = pow(max(dot(reflect(-light, normal), -ray), 0.0), 24.0);
  float depth = 1.0 - 0.35 * smoothstep(1.8, 3.4, ahead);
  float f = 2.0 * texture(fraction, p / edges + 0.5).r;
  vec3 hue = coloured ? (f < 1.0 ? mix(stops[0], stops[1], f) : mix(stops[1], stops[2], f - 1.0)) : vec3(0.25, 0.72, 0.65);
  colour = vec4(depth * (hue * (0.25 + 0.8 * diffuse) + 0.22 * shine), 1.0);
}`;

/**
 * @param {WebGL2RenderingContext} gl
 * @param {number} type
 * @param {string} source
 */
function compile(gl, type, source) {
  const shader = /** @type {WebGLShader} */ (gl.createShader(type));
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(String(gl.getShaderInfoLog(shader)));
  return shader;
}

/**
 * Product of two matrices, column by column.
 *
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
export function product(a, b) {
  const c = new Float32Array(9);
  for (let column = 0; column < 3; column += 1)
    for (let row = 0; row < 3; row += 1)
      for (let k = 0; k < 3; k += 1) c[3 * column + row] += a[3 * k + row] * b[3 * column + k];
  return c;
}

/**
 * Matrix of a rotation about x, then y, in radians.
 *
 * @param {number} x
 * @param {number} y
 */
export const rotation = (x, y) => {
  const [cx, sx, cy, sy] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
  return product(new Float32Array([cy, 0, -sy, 0, 1, 0, sy, 0, cy]), new Float32Array([1, 0, 0, 0, cx, sx, 0, -sx, cx]));
};

/**
 * @param {WebGL2RenderingContext} gl
 * @param {number} unit
 * @param {Uint8Array} voxels
 * @param {[number, number, number]} shape
 */
function loadTexture(gl, unit, voxels, shape) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage3D(gl.TEXTURE_3D, 0, gl.R8, shape[2], shape[1], shape[0], 0, gl.RED, gl.UNSIGNED_BYTE, voxels);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, filter, gl.LINEAR);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, wrap, gl.CLAMP_TO_EDGE);
}

/** @typedef {{ orientation: Float32Array, zoom: number }} Camera */

/** Draws one volume on a canvas. */
export class RayCaster {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("../api.js").SurfaceVoxels} surface
   * @param {import("../api.js").SurfaceVoxels | null} fraction of the same shape, for colours
   */
  constructor(canvas, surface, fraction) {
    const gl = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("Surfaces require WebGL 2, which this browser does not support.");
    this.canvas = canvas;
    this.gl = gl;
    const program = (this.program = /** @type {WebGLProgram} */ (gl.createProgram()));
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(gl.getAttribLocation(program, "corner"));
    gl.vertexAttribPointer(gl.getAttribLocation(program, "corner"), 2, gl.FLOAT, false, 0, 0);
    const { shape } = surface;
    loadTexture(gl, 0, surface.voxels, shape);
    loadTexture(gl, 1, fraction?.voxels ?? new Uint8Array(1), fraction?.shape ?? [1, 1, 1]);
    gl.uniform1i(this.uniform("volume"), 0);
    gl.uniform1i(this.uniform("fraction"), 1);
    gl.uniform3fv(this.uniform("stops"), new Float32Array(FRACTION_STOPS.flat()));
    const longest = Math.max(...shape);
    gl.uniform3f(this.uniform("edges"), shape[2] / longest, shape[1] / longest, shape[0] / longest);
  }

  /** @param {string} name */
  uniform(name) {
    return this.gl.getUniformLocation(this.program, name);
  }

  /**
   * @param {{ camera: Camera, level: number, negative: boolean, coloured: boolean, moving: boolean }} view
   *   `level`: in 0..255; `negative`: surface of density below the level; `moving`: draw fast instead of sharp
   */
  draw({ camera, level, negative, coloured, moving }) {
    const { gl, canvas } = this;
    const scale = (moving ? 0.5 : 1) * Math.min(window.devicePixelRatio, 1.5);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * scale)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.uniformMatrix3fv(this.uniform("orientation"), false, camera.orientation);
    gl.uniform1f(this.uniform("level"), level / 255);
    gl.uniform1f(this.uniform("sign_"), negative ? -1 : 1);
    gl.uniform1f(this.uniform("zoom"), camera.zoom);
    gl.uniform1f(this.uniform("aspect"), width / height);
    gl.uniform1i(this.uniform("steps"), moving ? 110 : 260);
    gl.uniform1i(this.uniform("coloured"), coloured ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}
