// From pixels to the text of the QR code in them, for the camera and for photos.
"use strict";

const Pictures = (function () {
  const FRAME_SIDE = 960; // pixels, the longest side; a phone reads that many quickly enough
  const PHOTO_SIDES = [1000, 1600, 700, 2400]; // a photo is tried at these sizes, the likeliest first
  const canvas = document.createElement("canvas");

  // Return the text of the QR code before the camera, or an empty text.
  function readFrame(video) {
    return video.videoWidth ? read(video, video.videoWidth, video.videoHeight, FRAME_SIDE) : "";
  }

  // Resolve to the text of the QR code in a picture file, or an empty text; reject when it is not a picture.
  async function readPhoto(file) {
    const image = await load(file);
    for (const side of PHOTO_SIDES) {
      const text = read(image, image.naturalWidth, image.naturalHeight, side);
      if (text) return text;
    }
    return "";
  }

  function load(file) {
    const image = new Image();
    image.src = URL.createObjectURL(file);
    return new Promise((resolve, reject) => {
      image.onload = () => resolve(image);
      image.onerror = reject;
    }).finally(() => URL.revokeObjectURL(image.src));
  }

  function read(picture, width, height, side) {
    const scale = Math.min(1, side / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    const found = jsQR(pixels.data, canvas.width, canvas.height, { inversionAttempts: "dontInvert" });
    return found ? found.data : "";
  }

  return Object.freeze({ readFrame, readPhoto });
})();
