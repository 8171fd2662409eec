"""The layout: which package may import which, where pixels stop, how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("command", "features", "flow", "extract", "evaluate", "detect", "train", "flowless")
MAY_IMPORT = {
    "command": set(),
    "features": set(),
    "evaluate": set(),
    "flow": {"features"},
    "extract": {"features", "flow", "evaluate"},
    "detect": {"features", "evaluate"},
    "train": {"features", "evaluate", "detect"},
    "flowless": {"features", "flow", "extract", "evaluate", "detect", "train"},
}
FOR_ALL = {"command"}  # imports none of the others
PIXEL_LIBRARIES = {"cv2", "av", "decord", "skimage", "imageio", "PIL"}
PACKAGES_WITHOUT_PIXELS = ("command", "features", "detect", "train", "evaluate")
OTHER_NAMES = {  # of commands of the top package that users know under another one's: an import, and nothing else
    Path("detect/video.py"): "flowless.deployment.video",
    Path("detect/export.py"): "flowless.deployment.export",
}
SUB_PACKAGES = {  # and what each may import of its own package
    "features.files": set(),
    "features.storage": {"features.files"},
    "features.importing": {"features.files", "features.storage"},
    "features.computing": set(),
    "features.running": {"features.files", "features.storage"},
    "flow.decode": set(),
    "flow.tvl1_common": set(),
    "flow.tvl1_cpu": set(),
    "flow.tvl1_cuda": {"flow.tvl1_common"},
    "flow.pipeline": {"flow.decode", "flow.tvl1_common", "flow.tvl1_cuda"},
    "extract.weights": set(),
    "extract.cues": set(),
    "extract.backbones": {"extract.cues", "extract.weights"},
    "extract.world": {"extract.backbones"},
    "extract.pipeline": {"extract.backbones", "extract.cues"},
    "extract.learning": {"extract.backbones", "extract.cues", "extract.pipeline"},
    "evaluate.files": set(),
    "evaluate.importing": {"evaluate.files"},
    "evaluate.metrics": {"evaluate.files"},
    "evaluate.errors": {"evaluate.files", "evaluate.metrics"},
    "evaluate.reporting": {"evaluate.files", "evaluate.metrics", "evaluate.errors"},
    "evaluate.watching": {"evaluate.files", "evaluate.metrics", "evaluate.reporting"},
    "detect.heads": set(),
    "detect.model": {"detect.heads"},
    "detect.deployed": {"detect.heads", "detect.model"},
    "train.checks": set(),
    "train.data": set(),
    "train.methods": {"train.data"},
    "train.recipes": set(),
    "flowless.deployment": set(),
    "flowless.api": set(),
    "flowless.graph": set(),
    "flowless.comparing": {"flowless.graph"},
}
MODULES_IN_A_FOLDER = 12
LONGEST_PAGE = 300
LONGEST_FUNCTION = 60


def pages() -> list[Path]:
    return sorted(page.relative_to(ROOT) for package in PACKAGES for page in (ROOT / package).rglob("*.py"))


def syntax(page: Path) -> ast.Module:
    return ast.parse((ROOT / page).read_text(encoding="utf-8"))


def imported_modules(page: Path) -> Iterator[str]:
    for node in ast.walk(syntax(page)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{page}: relative import; name the package"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_pages(page: Path) -> set[Path]:
    """The project's own files that this one imports when it is loaded or run."""
    found = set()
    for module in imported_modules(page):
        base = Path(*module.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if (ROOT / candidate).is_file() and candidate != page:
                found.add(candidate)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_the_packages_upstream_of_it(package: str) -> None:
    for page in pages():
        if page.parts[0] != package or page in OTHER_NAMES:
            continue
        packages = {module.split(".")[0] for module in imported_modules(page)} & set(PACKAGES)
        others = packages - {package, *FOR_ALL}
        assert others <= MAY_IMPORT[package], f"{page} imports {sorted(others - MAY_IMPORT[package])}"


def sub_package(module: str) -> str:
    """The listed one that a module lies in, or is; else ''."""
    return next((name for name in SUB_PACKAGES if module == name or module.startswith(f"{name}.")), "")


@pytest.mark.parametrize("name", SUB_PACKAGES)
def test_a_sub_package_imports_only_those_below_it(name: str) -> None:
    for page in pages():
        if page.parts[:-1] == tuple(name.split(".")):
            own = {sub_package(module) for module in imported_modules(page) if module.split(".")[0] == page.parts[0]}
            others = own - {name, ""}
            assert others <= SUB_PACKAGES[name], f"{page} imports {sorted(others - SUB_PACKAGES[name])}"


def test_sub_packages_point_one_way() -> None:
    done: set[str] = set()
    for name, below in SUB_PACKAGES.items():  # listed from the lowest up
        assert below <= done, f"{name} may import {sorted(below - done)}, which come after it"
        done.add(name)


def test_no_folder_is_a_long_list() -> None:
    folders = {page.parent for page in pages()}
    for folder in folders:
        own = {"__init__.py", "__main__.py"}  # every package's
        modules = [page for page in pages() if page.parent == folder and page.name not in own]
        assert len(modules) <= MODULES_IN_A_FOLDER, f"{folder}: {len(modules)} modules"


@pytest.mark.parametrize("package", PACKAGES_WITHOUT_PIXELS)
def test_pixels_stop_at_the_store(package: str) -> None:
    for page in pages():
        if page.parts[0] == package:
            libraries = {module.split(".")[0] for module in imported_modules(page)} & PIXEL_LIBRARIES
            assert not libraries, f"{page} imports {sorted(libraries)}"


def test_the_code_that_detects_cannot_name_optical_flow() -> None:
    for page in pages():
        if page.parts[0] != "detect":
            continue
        of_flow = {m for m in imported_modules(page) if m.split(".")[0] == "flow"}
        assert not of_flow, f"{page} imports {sorted(of_flow)}"


def test_another_name_of_a_command_is_an_import_and_no_page_uses_it() -> None:
    for page, real in OTHER_NAMES.items():
        packages = {module for module in imported_modules(page) if module.split(".")[0] in PACKAGES}
        assert all(module == real or module.startswith(f"{real}.") for module in packages), page
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in syntax(page).body), page
    for page in pages():
        assert not set(OTHER_NAMES) & imported_pages(page), f"{page} imports a command by its other name"


def test_what_works_on_videos_decodes_them_and_computes_no_flow() -> None:
    of_flow = {m for m in imported_modules(Path("flowless/deployment/video.py")) if m.split(".")[0] == "flow"}
    assert all(m.startswith("flow.decode.video") for m in of_flow), of_flow


def test_imports_run_in_no_circles() -> None:
    arrows = {page: imported_pages(page) - {page.parent / "__init__.py"} for page in pages()}
    done: set[Path] = set()

    def visit(page: Path, path: tuple[Path, ...]) -> None:
        assert page not in path, f"circle: {' -> '.join(map(str, (*path[path.index(page) :], page)))}"
        if page not in done:
            for other in arrows[page]:
                visit(other, (*path, page))
            done.add(page)

    for page in arrows:
        visit(page, ())


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_file_names_its_subject_and_is_not_too_long(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert ast.get_docstring(syntax(page)), f"{page}: the first line names the subject"
    assert len(text.splitlines()) <= LONGEST_PAGE, f"{page}: {len(text.splitlines())} lines"
    for node in ast.walk(syntax(page)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{page}: {node.name} has {lines} lines"


@pytest.mark.parametrize("page", sorted((ROOT / "evaluate" / "watching").glob("*.[cjh][st]*")), ids=lambda p: p.name)
def test_a_page_for_the_browser_is_not_too_long_either(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= LONGEST_PAGE
