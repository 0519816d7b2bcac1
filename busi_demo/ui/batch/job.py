"""What the Batch tab and its endpoint do with files; without Gradio."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from busi_demo.batch.analyse import analyse_item
from busi_demo.batch.items import LeftOut, Limits, list_batch
from busi_demo.batch.rows import BOM, Row, counts, csv_text, left_out_csv, referral, referred_first
from busi_demo.inference.predictor import load_predictors
from busi_demo.models import title_of
from busi_demo.types import Verdict
from busi_demo.ui import held, texts
from busi_demo.ui.limits import BATCH_MOST_IMAGES, BATCH_TABLE_MB, BATCH_UNPACKED_MB, LARGEST_UPLOAD_MB

LIMITS = Limits(
    images=BATCH_MOST_IMAGES,
    file_bytes=LARGEST_UPLOAD_MB * 10**6,
    archive_bytes=BATCH_UNPACKED_MB * 10**6,
    table_bytes=BATCH_TABLE_MB * 10**6,
)
_MOST_LEFT_OUT = 20


@dataclass(frozen=True)
class Progress:
    """How far a batch is.

    Attributes:
        rows: of the images that are done.
        done, total: images.
        next_name: image that is next; `None` at the end.
        table, figures: the CSV file, and a zip archive of it and the figures; `None` until the end.
        note: a sentence on approaches that were left out; `None` where none was.
        left_out: files of folders and archives that are no images.
    """

    rows: list[Row]
    done: int
    total: int
    next_name: str | None = None
    table: Path | None = None
    figures: Path | None = None
    note: str | None = None
    left_out: Sequence[LeftOut] = ()


def run_batch(
    paths: Sequence[str],
    approach: str,
    folder: str,
    stopped: Callable[[], bool] = lambda: False,
    analyse_anyway: bool = False,
    all_frames: bool = False,
) -> Iterator[Progress]:
    """Analyse files one after the other; yields the progress before each image and at the end.

    Args:
        paths: image files and zip archives.
        approach: a key of `APPROACHES`, or `busi_demo.models.ALL`.
        folder: receives a new folder with table and figures, which is deleted if the caller stops before the end.
        stopped: asked before each image; once true, the batch ends.
        analyse_anyway: as for `Predictor.predict`.
        all_frames: as for `list_batch`.
    Raises:
        InputError: there is nothing to do, too much, or no approach that was chosen has weights.
    """
    items, others = list_batch([Path(path) for path in paths], LIMITS, all_frames)
    predictors, left_out = load_predictors(approach)
    rows: list[Row] = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    results = Path(tempfile.mkdtemp(dir=folder, prefix="batch_"))
    table, figures = results / "batch.csv", results / "batch_figures.zip"
    now, done = Progress(rows, 0, len(items), note=left_out, left_out=others), 0
    try:
        with zipfile.ZipFile(figures, "w") as archive:  # stored: PNG is compressed
            for item in items:
                held.use_again(paths)
                yield replace(now, rows=list(rows), done=done, next_name=item.name)
                if stopped():
                    break
                for result in analyse_item(item, predictors, analyse_anyway):
                    rows.append(result.row)
                    if figure := result.figure_png():
                        archive.writestr(f"figures/{result.figure_name}", figure)
                done += 1
            rows = referred_first(rows)
            archive.writestr(table.name, BOM + csv_text(rows))
            if others:
                archive.writestr("left_out.csv", BOM + left_out_csv(others))
        table.write_text(BOM + csv_text(rows), encoding="utf-8", newline="")
    except BaseException:  # GeneratorExit too: the files will not be downloaded
        shutil.rmtree(results, ignore_errors=True)
        raise
    yield replace(now, rows=rows, done=done, table=table, figures=figures)


def cells(row: Row) -> list[Any]:
    """A row as the page's table shows it, in the order of `texts.BATCH_COLUMNS`; shares in per cent."""
    shares = [row[name] for name in ("p_benign", "p_malignant", "p_normal", "lesion_area_fraction")]
    key = row["approach"]
    title = "" if key is None else title_of(key)
    refused = texts.REFUSED if row["input_check"] == Verdict.REFUSED.value else ""
    return [row["image"], title, row["predicted_class"] or refused, row["trust"] or "", row["set_95"] or "",
            *(None if share is None else round(100 * share, 1) for share in shares),
            None if row["dice"] is None else round(row["dice"], 3), row["error"] or row["warnings"] or ""]  # fmt: skip


def progress_card(now: Progress) -> str:
    """How far the batch is, as HTML."""
    if now.table:
        text = f"{texts.batch_summary(now.done, now.total, counts(now.rows)[1])} {referral(now.rows)}"
    else:
        text = texts.batch_progress(now.done, now.total, now.next_name)
    bar = f'<progress max="{now.total}" value="{now.done}" aria-label="{texts.TAB_BATCH}"></progress>'
    note = f'<p class="note">{escape(now.note)}</p>' if now.note else ""
    others = "".join(
        f"<li>{escape(texts.batch_left_out(o.name, o.reason))}</li>" for o in now.left_out[:_MOST_LEFT_OUT]
    )
    if others:
        title = escape(texts.batch_left_out_title(len(now.left_out)))
        others = f"<details><summary>{title}</summary><ul>{others}</ul></details>"
    return f'<section role="status">{bar}<p>{escape(text)}</p>{note}{others}</section>'
