"""Look of the page; system fonts alone, so that no request leaves for a font server."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS_FILE = Path(__file__).with_name("style.css")

SCRIPT = f"<script>{Path(__file__).with_name('script.js').read_text(encoding='utf-8')}</script>"
"""For the head of the page."""

NARROW = "(...inputs) => [matchMedia('(max-width: 699px)').matches, ...inputs.slice(1)]"
"""Script that puts into the first input of a listener whether the window is that of a telephone."""

DRAG_CROP = """async (before, dragged) => {
  const crop = await window.dragCrop();
  return [crop ?? before, crop ? `${crop} ${Date.now()}` : dragged];
}"""
"""Script that waits until a person has dragged a rectangle over the image. Gives the crop as text, and a text that
changes if something was dragged."""


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
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        # Gradio's own greys and accent are too pale to read on white (WCAG AA asks for 4.5 to 1).
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued_dark="*neutral_300",
    )
