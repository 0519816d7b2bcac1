// Behaviour for which Gradio has no parameter.

// Put a file into a file input, as if a person had chosen it. The input of an upload button precedes the button.
function give(selector, file) {
  const input = document.querySelector(`${selector} input[type=file], input[type=file]:has(+ ${selector})`);
  if (!file || !input) return;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

const shown = selector => document.querySelector(selector)?.offsetParent != null;

// Ctrl+V anywhere on the page uploads the image in the clipboard; Gradio offers a button only.
document.addEventListener("paste", event => {
  const input = ["#image", "#compare-image"].find(shown);
  if (input) give(input, [...(event.clipboardData?.files ?? [])].find(f => f.type.startsWith("image/")));
});

// The image input refuses files without an image MIME type, such as DICOM: hand them to the button beside it.
document.addEventListener("drop", event => {
  const file = event.dataTransfer?.files?.[0];
  const box = event.target.closest?.("#image, #compare-image");
  if (!file || file.type.startsWith("image/") || !box) return;
  event.preventDefault();
  event.stopPropagation();
  give(box.id === "image" ? "#open-file" : "#compare-open-file", file);
}, true);

// Narrow windows stack the five panels: redraw the figure when the window crosses that width.
matchMedia("(max-width: 699px)").addEventListener("change", () => document.querySelector("#redraw")?.click());

// Arrow keys move between tabs (WAI-ARIA tabs pattern); Gradio makes each tab a separate Tab stop.
document.addEventListener("keydown", event => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const row = event.target.closest?.("[role=tab]")?.closest("[role=tablist]");
  if (!step || !row || event.ctrlKey || event.altKey || event.metaKey) return;
  const tabs = [...row.querySelectorAll("[role=tab]")];
  const next = tabs.at((tabs.indexOf(event.target) + step) % tabs.length);
  event.preventDefault();
  next.click();
  next.focus();
});

// The button that clears an image disappears with it: move the focus to the empty input.
document.addEventListener("click", event => {
  const box = event.target.closest?.("#image, #mask, #compare-image, #compare-mask");
  setTimeout(() => {
    if (box && document.activeElement === document.body) box.querySelector("button")?.focus();
  }, 300);
}, true);

// Let a person drag a rectangle over the image. Resolves to "x0, y0, x1, y1" in pixels of the image; to null if nothing
// was dragged or on Escape; to "" when another image, or none, has taken its place.
let stopDragging = null;
window.dragCrop = () => new Promise(resolve => {
  stopDragging?.();
  const image = document.querySelector("#image img");
  if (!image?.naturalWidth) return resolve(null);
  image.scrollIntoView({ block: "nearest" });
  const box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);  // object-fit: contain
  const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
  const left = box.left + (box.width - width) / 2 + scrollX, top = box.top + (box.height - height) / 2 + scrollY;
  const cover = document.createElement("div"), mark = document.createElement("div");
  cover.id = "drag-crop";
  cover.setAttribute("role", "status");
  cover.textContent = "Drag a rectangle over the ultrasound. Esc cancels.";
  Object.assign(cover.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  const source = image.src;
  let start = null, drawn = null;
  const place = event => [
    Math.min(Math.max(event.pageX - left, 0), width), Math.min(Math.max(event.pageY - top, 0), height),
  ];
  const gone = () => !image.isConnected || image.src !== source || image.offsetParent === null;
  const watch = setInterval(() => gone() && cancel(), 250);
  const end = text => {
    clearInterval(watch);
    cover.remove();
    removeEventListener("keydown", escape, true);
    removeEventListener("resize", cancel);
    stopDragging = null;
    resolve(text);
  };
  const cancel = () => end(gone() ? "" : null);
  const escape = event => event.key === "Escape" && cancel();
  cover.addEventListener("pointerdown", event => {
    event.preventDefault();
    cover.setPointerCapture(event.pointerId);
    start = place(event);
    cover.replaceChildren(mark);
  });
  cover.addEventListener("pointermove", event => {
    if (!start) return;
    const [x, y] = place(event);
    drawn = [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
    Object.assign(mark.style, {
      left: `${drawn[0]}px`, top: `${drawn[1]}px`, width: `${drawn[2] - drawn[0]}px`, height: `${drawn[3] - drawn[1]}px`,
    });
  });
  cover.addEventListener("pointercancel", cancel);
  cover.addEventListener("pointerup", () => {
    const dragged = drawn && drawn[2] - drawn[0] > 4 && drawn[3] - drawn[1] > 4 && !gone();
    end(gone() ? "" : dragged ? drawn.map(value => Math.round(value / scale)).join(", ") : null);
  });
  addEventListener("keydown", escape, true);
  addEventListener("resize", cancel);
  stopDragging = cancel;
  document.body.append(cover);
});
