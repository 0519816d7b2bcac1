"""The rules of the import graph: downwards only, what a room must not know, and which module imports a library."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers import ROOT

# From the top down: a package may import those in a line below its own.
LAYERS = (
    ("app", "train"),
    ("busi_demo.__main__",),
    ("busi_demo.cli", "busi_demo.ui"),
    ("busi_demo.training", "busi_demo.publishing", "busi_demo.gallery"),
    ("busi_demo.evaluation",),
    ("busi_demo.batch",),
    ("busi_demo.analysis",),
    ("busi_demo.inference",),
    ("busi_demo.weights",),
    ("busi_demo.models", "busi_demo.data"),
    ("busi_demo.imaging", "busi_demo.processes"),
    ("busi_demo.project",),
    ("busi_demo.types",),
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for path in [*ROOT.glob("busi_demo/**/*.py"), *ROOT.glob("train/*.py"), *ROOT.glob("app.py")]
    if module_name(path) != "busi_demo"  # its exports are loaded on first use; it is tested below
}


@cache
def imports_of(path: Path, for_types: bool = True) -> frozenset[str]:
    """Every module that a file imports, wherever in it; on request without those that are for type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and _is_type_checking(node.test))]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            children = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {child if child in FILES else str(node.module) for child in children}
    return frozenset(names)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def reached(module: str, for_types: bool = True) -> set[str]:
    """Every module that a module imports, itself or through modules of the project."""
    names, open_modules = set(), [module]
    while open_modules:
        new = imports_of(FILES[open_modules.pop()], for_types) - names
        names |= new
        open_modules += [name for name in new if name in FILES]
    return names


def inside(name: str, *packages: str) -> bool:
    """Whether a module is one of these packages, or in one of them."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def unit(module: str) -> str:
    """The entry of `LAYERS` that a module belongs to."""
    names = [name for layer in LAYERS for name in layer if inside(module, name)]
    assert names, f"{module} is not in LAYERS: add it"
    return max(names, key=len)


def depth(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if unit(module) in layer)


def test_the_files_are_found():
    assert {"busi_demo.types", "busi_demo.models.base", "train.evaluate"} <= FILES.keys()


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_go_downwards(module):
    own = [name for name in imports_of(FILES[module]) if name.startswith("busi_demo.")]
    upwards = [name for name in own if unit(name) != unit(module) and depth(name) <= depth(module)]
    assert upwards == []


def test_there_is_no_import_circle():
    own = {module: imports_of(path) & FILES.keys() for module, path in FILES.items()}
    TopologicalSorter(own).prepare()  # raises CycleError, which names the circle


def test_the_package_root_holds_few_modules():
    assert len(list((ROOT / "busi_demo").glob("*.py"))) <= 5


@pytest.mark.parametrize(("library", "importers"), [
    ("gradio", ("busi_demo.ui", "app")),
    ("pytorch_grad_cam", ("busi_demo.inference.cam",)),
    ("safetensors", ("busi_demo.weights",)),
    ("pydicom", ("busi_demo.imaging.dicom",)),
    ("kagglehub", ("busi_demo.data.locate",)),
    ("huggingface_hub", ("busi_demo.weights.hub", "busi_demo.publishing.upload")),
    ("segmentation_models_pytorch", ("busi_demo.models.backbones",)),
    ("accelerate", ("busi_demo.processes",)),
    ("optuna", ("busi_demo.training.tune",)),
    ("torch.utils.tensorboard", ("busi_demo.training.listeners",)),
])  # fmt: skip
def test_a_library_is_imported_only_by_certain_modules(library, importers):
    users = [module for module, path in FILES.items() if any(inside(name, library) for name in imports_of(path))]
    assert users and [module for module in users if not inside(module, *importers)] == []


@pytest.mark.parametrize("module", sorted(name for name in FILES if inside(name, "busi_demo.models")))
def test_models_know_no_files_no_data_and_no_losses(module):
    names = imports_of(FILES[module])
    assert not names & {"os", "io", "pathlib", "json", "PIL", "safetensors", "csv"}
    allowed = ("busi_demo.models", "busi_demo.types", "busi_demo.imaging.preprocess")
    assert [name for name in names if inside(name, "busi_demo") and not inside(name, *allowed)] == []
    if module != "busi_demo.models.pretrained":  # reads what installed packages carry
        calls = (node.func for node in ast.walk(ast.parse(FILES[module].read_text())) if isinstance(node, ast.Call))
        assert not {ast.unparse(call) for call in calls} & {"open", "torch.load", "torch.save"}


FILES_OF_WEIGHTS = {"config.json", "model.safetensors", "split.csv", "seen.json", "hub.json"}


@pytest.mark.parametrize("module", sorted(name for name in FILES if not inside(name, "busi_demo.weights")))
def test_only_the_package_weights_names_the_files_of_weights(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not constants & FILES_OF_WEIGHTS


@pytest.mark.parametrize("module", sorted(name for name in FILES if inside(name, "busi_demo.data")))
def test_data_knows_neither_models_nor_weights(module):
    assert [name for name in reached(module) if inside(name, "busi_demo.models", "busi_demo.weights")] == []


def test_the_figure_knows_no_model():
    upper = ("busi_demo.models", "busi_demo.weights", "busi_demo.inference.predictor", "sklearn", "torchvision")
    assert [name for name in reached("busi_demo.analysis.figure") if inside(name, *upper)] == []
    assert "torch" not in imports_of(FILES["busi_demo.analysis.figure"])


def test_mask_arithmetic_needs_arrays_only():
    """Drawing and the page use it, and must not load the libraries of the evaluation."""
    modules = reached("busi_demo.imaging.masks", for_types=False)
    libraries = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert libraries == {"busi_demo", "numpy", "scipy"}


def test_modules_are_imported_where_they_are_defined():
    """`import busi_demo` is for users; modules of the project import each other by full name."""
    assert [module for module, path in FILES.items() if "busi_demo" in set(imports_of(path))] == []


def test_the_package_itself_is_cheap_to_import():
    code = "import sys, busi_demo; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ)).returncode == 0


def test_the_page_starts_without_libraries_that_only_an_image_needs():
    late = ("torchvision", "timm", "pytorch_grad_cam", "pydicom", "busi_demo.inference.predictor")
    code = f"import sys, app; sys.exit(any(name in sys.modules for name in {late}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ)).returncode == 0


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("train/*.py") if path.name != "_path.py"))
def test_a_script_looks_for_the_package_beside_its_folder(script):
    """`python train/NAME.py` works in a clone where the package is not installed."""
    lines = (ROOT / "train" / script).read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if re.match(r"(from|import) (_path|busi_demo)", line)).startswith("import _path")


def test_scripts_use_the_package_of_their_checkout(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'train')!r}); import _path, busi_demo; print(busi_demo.__file__)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()) == ROOT / "busi_demo" / "__init__.py"
