// Images that follow the plane that the user is looking at.

/**
 * Returns a function that shows the picture at an address. While one picture is loading, further requests wait, and
 * only the last of them is loaded next.
 *
 * @param {HTMLImageElement} image
 * @param {(url: string) => void} [onShown]
 */
export function imageLoader(image, onShown) {
  /** @type {string | null} */
  let shown = null;
  /** @type {string | null} */
  let requested = null;
  let loading = false;
  async function loadNext() {
    if (loading || requested === shown || requested === null) return;
    loading = true;
    const url = requested;
    const picture = new Image();
    picture.src = url;
    try {
      await picture.decode();
      image.src = url;
      shown = url;
      onShown?.(url);
    } catch {
      if (requested === url) requested = shown;
    }
    loading = false;
    loadNext();
  }
  return (/** @type {string} */ url) => {
    requested = url;
    loadNext();
  };
}

/**
 * Load a picture into the cache of the browser.
 *
 * @param {string} url
 */
export function preload(url) {
  new Image().src = url;
}

/**
 * Returns a function that runs an action with the latest of the values it is called with, one at a time.
 *
 * @template T
 * @param {(value: T) => Promise<void>} action
 */
export function latestOnly(action) {
  let running = false;
  /** @type {T[]} */
  let waiting = [];
  return async (/** @type {T} */ value) => {
    waiting = [value];
    if (running) return;
    running = true;
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await action(next);
    running = false;
  };
}
