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
