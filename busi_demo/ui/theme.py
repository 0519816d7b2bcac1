"""Look of the page; system fonts alone, so that no request leaves for a font server."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS_FILE = Path(__file__).with_name("style.css")

PASTE_SCRIPT = """
<script>
document.addEventListener("paste", event => {
  const file = [...(event.clipboardData?.files ?? [])].find(f => f.type.startsWith("image/"));
  const visible = element => element.closest(".block")?.offsetParent;
  const inputs = [...document.querySelectorAll(":is(#image, #compare-image) input[type=file]")];
  const input = inputs.find(visible);
  if (!file || !input) return;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
</script>
"""
"""Ctrl+V anywhere on the page is an upload of the image in the clipboard; Gradio has only a button for it."""


def make_theme() -> gr.themes.Base:
    """Colours and fonts, for light and dark."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.sky,
        secondary_hue=gr.themes.colors.sky,
        neutral_hue=gr.themes.colors.slate,
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )
