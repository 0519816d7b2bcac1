from __future__ import annotations

import subprocess
import sys

from helpers import ROOT


def test_drawing_does_not_import_scikit_learn():
    code = "import sys, busi_demo.analysis.figure, busi_demo.analysis.panels; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
