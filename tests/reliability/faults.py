"""Kill processes and damage weights: python tests/reliability/faults.py [--times N] [--only PART ...]"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from reliability import record

PARTS = ("saving", "training", "batch", "publishing", "weights", "command", "hub")
_SOUND = ("one sentence", "answered the same", "and says so")  # ends of what may come of damaged weights
HUB_SECONDS = 10.0
"""The longest that a Hub which cannot be reached may hold an answer up."""


def main() -> int:
    """Run all parts; returns 1 if something was not as promised."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=20, metavar="N", help="kills and bits (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    arguments = parser.parse_args()
    told, found = record.circumstances(), record.earlier("faults").get("parts", {})
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.only:
            print(f"trying: {part} ...", flush=True)
            (Path(folder) / part).mkdir()
            start = time.monotonic()
            came = run(part, arguments.times, Path(folder) / part, random.Random(arguments.seed))
            found[part] = {"commit": told["commit"], "seed": arguments.seed, "minutes": (time.monotonic() - start) / 60,
                           "found": came}  # fmt: skip
            # now, should a later part be stopped
            record.save("faults", "Faults (`make faults`)", told, {"parts": found}, text(found))
    return int(any(bad for part in found for *_, bad in rows(part, found[part]["found"])))


def run(part: str, times: int, folder: Path, moments: random.Random) -> Any:
    """Run one part; returns JSON values."""
    from reliability import kills, publishing, weight_faults

    match part:
        case "saving":
            return kills.kill_saving(5 * times, folder, moments)  # they are quick
        case "training":
            return kills.kill_training(times, folder, moments)
        case "batch":
            return kills.kill_batch(times, folder, moments)
        case "publishing":
            return publishing.kill_publishing(times, folder, moments)
        case "weights":
            return weight_faults.damaged_weights(times, folder, moments)
        case "command":
            return weight_faults.at_the_command_line(folder)
        case _:
            return weight_faults.hub_that_does_not_answer(folder)


def rows(part: str, found: Any) -> list[tuple[str, str, bool]]:
    """What was tried, what came of it, and whether that is a fault."""
    if part in ("saving", "training", "batch", "publishing"):
        outcomes: Mapping[str, int] = found["outcomes"]
        words = "; ".join(f"{name}: {count}" for name, count in outcomes.items())
        more = f", {found['finished']} runs" if "finished" in found else ""
        left = f"; partial files left over: {found['left_over']}" if found["left_over"] else ""
        bad = not outcomes.keys() <= {"the same", "whole"}
        return [(f"{part} killed {found['kills']} times{more}", words + left, bad)]
    if part == "hub":
        return [
            (f"the Hub {kind}", f"{told} after {s:.1f} s", told != "one sentence" or not s < HUB_SECONDS)
            for kind, (s, told) in found.items()
        ]
    told_rows = []
    for kind, outcomes in found.items():
        words = "; ".join(
            f"{name}: {count}" if sum(outcomes.values()) > 1 else name for name, count in outcomes.items()
        )
        sound = all(name.endswith(_SOUND) or name.startswith("not tried") for name in outcomes)
        told_rows.append((kind, words, not sound))
    return told_rows


def text(parts: Mapping[str, Any]) -> str:
    """The section of the report."""
    lines = [
        (what, came, "fault" if bad else "", parts[part]["commit"], parts[part]["seed"])
        for part in PARTS
        if part in parts
        for what, came, bad in rows(part, parts[part]["found"])
    ]
    return "\n\n".join([
        "Kills are by SIGKILL at random moments of a run; damaged weights are a copy of the shipped ones that answers "
        "on one picture. 'The same': the results are those of an undisturbed run, bit for bit. 'Whole': what lies in "
        "the folder is the weights of one save, and what lies in a repository the files of one publishing or those "
        "before it. 'One sentence': it names the file and says what to do.",
        record.table(["tried", "what came of it", "", "commit", "seed"], lines),
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
