// Images that follow the plane that the user is looking at.

/**
 * Returns a function that shows the picture at an address. While one picture is loading, further requests wait, and
 * only the last of them is loaded next.
 */
export function imageLoader(image, onShown) {
  let shown = null;
  let requested = null;
  let loading = false;
  async function loadNext() {
    if (loading || requested === shown) return;
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
  return (url) => {
    requested = url;
    loadNext();
  };
}

/** Load a picture into the cache of the browser. */
export function preload(url) {
  new Image().src = url;
}
