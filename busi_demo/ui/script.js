// What Gradio has no parameter for; everything else on the page is Python.

// Hand a file to an input as if a person had chosen it. That of an upload button stands before the button, not inside.
function give(selector, file) {
  const input = document.querySelector(`${selector} input[type=file], input[type=file]:has(+ ${selector})`);
  if (!file || !input) return;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

const shown = selector => document.querySelector(selector)?.offsetParent != null;

// Ctrl+V anywhere is an upload of the image in the clipboard; Gradio has only a button for it.
document.addEventListener("paste", event => {
  const input = ["#image", "#compare-image"].find(shown);
  if (input) give(input, [...(event.clipboardData?.files ?? [])].find(f => f.type.startsWith("image/")));
});

// The image input refuses what browsers take for no image, DICOM among it: such a file goes to the button beside it.
document.addEventListener("drop", event => {
  const file = event.dataTransfer?.files?.[0];
  const box = event.target.closest?.("#image, #compare-image");
  if (!file || file.type.startsWith("image/") || !box) return;
  event.preventDefault();
  event.stopPropagation();
  give(box.id === "image" ? "#open-file" : "#compare-open-file", file);
}, true);

// Telephones get the five panels below each other: when a window grows or shrinks past that, they are drawn anew.
matchMedia("(max-width: 699px)").addEventListener("change", () => document.querySelector("#redraw")?.click());

// Arrow keys move between tabs, as people who do without a mouse expect; Gradio makes each a stop of its own.
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

// What was pressed to take an image away goes with it: the focus moves on to the empty input.
document.addEventListener("click", event => {
  const box = event.target.closest?.("#image, #mask, #compare-image, #compare-mask");
  setTimeout(() => {
    if (box && document.activeElement === document.body) box.querySelector("button")?.focus();
  }, 300);
}, true);
