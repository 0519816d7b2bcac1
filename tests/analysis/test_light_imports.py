from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.mark.parametrize("module", ["figure", "panels"])
def test_drawing_does_not_import_scikit_learn(module):
    code = f"import sys, busi_demo.analysis.{module}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
