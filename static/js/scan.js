// The camera of the verification page: shows what it sees, and sends the first card it reads through the form for typed
// codes. The page works without it; the camera is not asked for, and no decoder loaded, before the button is pressed.
"use strict";
(() => {
  const LOOK_EVERY = 150; // milliseconds
  const LONGEST_SIDE = 900; // pixels: enough for a card held before the camera, and quick on an old telephone

  const place = document.querySelector("[data-scan]");
  const code = document.getElementById("code");
  if (!place || !navigator.mediaDevices?.getUserMedia) return;
  const [button, video, status] = ["button", "video", "[role=status]"].map((name) => place.querySelector(name));
  const canvas = document.createElement("canvas");
  let timer;
  video.style.inlineSize = "100%";
  place.hidden = false;

  const start = async () => {
    button.hidden = true;
    status.textContent = "";
    try {
      await load();
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.hidden = false;
      await video.play();
      timer = setInterval(look, LOOK_EVERY);
    } catch {
      stop();
      status.textContent = place.dataset.refused;
    }
  };

  const load = () => new Promise((resolve, reject) => {
    if (window.jsQR) return resolve();
    const script = document.createElement("script");
    script.src = place.dataset.scan;
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });

  const look = () => {
    const text = read();
    if (!text) return;
    if (!text.includes("/V/")) {
      status.textContent = place.dataset.other;
      return;
    }
    stop();
    code.value = text;
    code.form.requestSubmit();
  };

  const read = () => {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = video.videoWidth * scale;
    canvas.height = video.videoHeight * scale;
    if (!canvas.width || !canvas.height) return "";
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = context.getImageData(0, 0, canvas.width, canvas.height);
    return jsQR(picture.data, canvas.width, canvas.height, { inversionAttempts: "dontInvert" })?.data;
  };

  const stop = () => {
    clearInterval(timer);
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    video.hidden = true;
    button.hidden = false;
  };

  button.addEventListener("click", start);
  addEventListener("pagehide", stop);
})();
