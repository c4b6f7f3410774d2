"""The house: which room stands on which floor, what it may import, and what it may touch."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "stitchkit"

FLOORS = (
    {"core", "runtime"},
    {"storage"},
    {"solvers", "metrics", "datasets"},
    {"encoders"},
    {"embedding", "alignment"},
    {"zero_shot", "text_search", "stitching", "head_names", "evaluation"},
    {"training", "scale", "estimators", "reports", "exports", "persistence", "fitting", "tasks"},
    {"studies", "listings"},
    {"cli", "app"},
    {"__main__"},
)  # a room imports from lower floors only; rooms of one floor do not see each other
INNER_FLOORS = {  # of rooms that hold rooms, by the same rule
    "evaluation": (
        {"leakage", "fitted_pairs", "patient_draws"},
        {"spaces", "scores", "regions"},
        {"anchors", "retrieval"},
        {"associations"},
        {"diagnosis", "binding"},
    ),
}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
DATA = {"anchors"}  # folders of data, not rooms

AT_MODULE_LEVEL = {  # third-party libraries a room may import at module level; what is not named: numpy alone
    "core": {"numpy", "array_api_compat"},
    "datasets": {"numpy", "PIL"},
    "encoders": {"numpy", "PIL", "torch", "safetensors", "msgspec"},
    "storage": {"numpy", "msgspec"},
    "runtime": set(),
    "training": {"numpy", "PIL", "torch", "safetensors", "msgspec"},
    "scale": {"numpy", "torch"},
    "tasks": {"numpy", "msgspec"},
    "estimators": {"numpy", "sklearn"},
    "reports": {"numpy", "PIL", "matplotlib", "jinja2"},
    "studies": {"numpy", "msgspec"},
    "exports": {"numpy", "torch"},
    "cli": {"numpy", "typer", "click", "rich"},
}
INSIDE_FUNCTIONS = {  # further ones inside functions, on the two lowest floors; higher rooms are free
    "core": set(),
    "core/arrays.py": {"torch", "cupyx", "scipy"},
    "solvers": {"scipy", "sklearn"},
    "metrics": {"scipy", "sklearn"},
    "datasets": {"PIL", "pydicom", "pyarrow", "pandas", "h5py", "openpyxl"},
    "storage": set(),
    "runtime": set(),
    "runtime/progress.py": {"rich", "IPython"},
    "runtime/threads.py": {"scipy", "threadpoolctl", "torch"},
}
VERBS = {"alignment", "zero_shot", "text_search", "stitching", "head_names", "evaluation"}
CLOSED = {"core", "solvers", "metrics"} | VERBS  # rooms that open no file
VAGUE = {"utils", "helpers", "common"}


@dataclass(frozen=True)
class Source:
    """One file of the package, parsed."""

    root: Path
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def place(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @property
    def room(self) -> str:
        """The first part of the path; '' for the roof, ``stitchkit/__init__.py``."""
        first = self.path.relative_to(self.root).parts[0]
        return "" if first == "__init__.py" else first.removesuffix(".py")

    @property
    def package(self) -> list[str]:
        return [self.root.name, *self.path.relative_to(self.root).parts[:-1]]


@cache
def sources(root: Path) -> list[Source]:
    """The files of a package, which stays as it is; each is parsed once for all tests."""
    return [Source(root, path) for path in sorted(root.rglob("*.py")) if path.relative_to(root).parts[0] not in DATA]


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of nested attributes; what is not a name becomes ``?``."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and dotted(node.test).split(".")[-1] == "TYPE_CHECKING"


@dataclass(frozen=True)
class Import:
    line: int
    module: str  # absolute, dotted; with ``from a import b`` it is ``a.b``
    when: str  # "module", "function", "types", or "table" for a string such as "stitchkit.encoders.hf:load"


def imports(source: Source) -> Iterator[Import]:
    """Every import, wherever it stands, and every string that names a module of the package."""

    def walk(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = when
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inside = "function" if when == "module" else when
            elif is_type_checking(child):
                inside = "types"
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(child.lineno, name.name, when)
            elif isinstance(child, ast.ImportFrom):
                up = source.package[: len(source.package) - child.level + 1] if child.level else []
                base = ".".join([*up, *([child.module] if child.module else [])])
                for name in child.names:
                    yield Import(child.lineno, f"{base}.{name.name}", when)
            elif isinstance(child, ast.Constant) and isinstance(child.value, str) and source.room:
                found = re.fullmatch(rf"({source.root.name}(?:\.\w+)+)(:\w+)?", child.value)
                if found and (found[2] or is_module(source.root, found[1])):
                    yield Import(child.lineno, found[1], "table")
            yield from walk(child, inside)

    yield from walk(source.tree, "module")
    yield from through_the_roof(source)


def through_the_roof(source: Source) -> Iterator[Import]:
    """``import stitchkit as sk`` is judged by what ``sk.NAME`` reaches."""
    package = source.root.name
    aliases = {
        name.asname or name.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.name == package
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield Import(node.lineno, f"{package}.{node.attr}", "function")


def is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def public_table(root: Path) -> dict[str, str]:
    """The literal ``_PUBLIC`` of the package's roof."""
    roof = root / "__init__.py"
    for node in ast.parse(roof.read_text(encoding="utf-8")).body if roof.is_file() else []:
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "_PUBLIC":
            return ast.literal_eval(node.value)
    return {}


def room_of(root: Path, module: str, public: dict[str, str]) -> str:
    """The room that a dotted name of the package belongs to; '' for the roof itself."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1].startswith("__"):
        return ""
    return room_of(root, public[parts[1]].split(":")[0], public) if parts[1] in public else parts[1]


def wrong_imports(root: Path) -> list[str]:
    public, found = public_table(root), []
    for source in sources(root):
        here = source.room
        if here and here not in FLOOR_OF:
            found.append(f"{source.place}: room {here!r} stands on no floor")
            continue
        for one in imports(source):
            where, top = f"{source.place}:{one.line}", one.module.split(".")[0]
            if top == root.name:
                there = room_of(root, one.module, public)
                if not here:
                    if one.when == "module":
                        found.append(f"{where} the roof imports {one.module} before it is asked for")
                elif there not in ("", here) and FLOOR_OF.get(there, 99) >= FLOOR_OF[here]:
                    found.append(f"{where} {here} imports {one.module}, which is not on a lower floor")
            elif top not in sys.stdlib_module_names and not may_import(source, top, one.when):
                found.append(f"{where} {here or 'the roof'} imports {top} ({one.when} level)")
    return found


def wrong_inner_imports(root: Path) -> list[str]:
    """Imports within a room of rooms that do not go to a lower inner floor."""
    public, wrong = public_table(root), []
    for outer, floors in INNER_FLOORS.items():
        floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
        for source in sources(root):
            if source.room != outer or (source.path.parent == root / outer and source.path.stem == "__init__"):
                continue
            here = inner_room(source.place.removesuffix(".py").split("/"))
            if here not in floor_of:
                wrong.append(f"{source.place}: {here!r} stands on no floor of {outer}")
                continue
            for one in imports(source):
                parts = one.module.split(".")
                if parts[:2] != [root.name, outer] and parts[1:2] and parts[1] in public:
                    parts = public[parts[1]].split(":")[0].split(".")
                there = inner_room(parts[1:]) if parts[:2] == [root.name, outer] else here
                if there != here and floor_of.get(there, 99) >= floor_of[here]:
                    wrong.append(f"{source.place}:{one.line} {here} imports {one.module}, not on a lower floor")
    return wrong


def inner_room(parts: list[str]) -> str:
    """The room within a room of ``["evaluation", "scores", "evaluate"]``: its second part."""
    return parts[1] if len(parts) > 1 else ""


def may_import(source: Source, library: str, when: str) -> bool:
    if when == "types":
        return True
    allowed = AT_MODULE_LEVEL.get(source.room, {"numpy"} if source.room else set())
    if library in allowed:
        return True
    if when == "module" or not source.room:
        return False
    if source.room not in INSIDE_FUNCTIONS:
        return True
    return library in INSIDE_FUNCTIONS[source.room] | INSIDE_FUNCTIONS.get(source.place, set())


def names_from_elsewhere(root: Path) -> list[str]:
    """Names taken from a module that only imports them; the ``__init__`` of a package may collect names."""
    defined, found = {module_name(source): defined_in(source) for source in sources(root)}, []
    for source in sources(root):
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ImportFrom) or node.level or node.module not in defined:
                continue
            if root.joinpath(*node.module.split(".")[1:]).is_dir():
                continue
            found += [
                f"{source.place}:{node.lineno} takes {name.name} from {node.module}, which does not define it"
                for name in node.names
                if name.name not in defined[node.module]
            ]
    return found


def module_name(source: Source) -> str:
    return ".".join([*source.package, *([] if source.path.stem == "__init__" else [source.path.stem])])


def defined_in(source: Source) -> set[str]:
    names = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def import_circles(root: Path) -> list[list[str]]:
    """Groups of modules that import each other; imports for types and names in tables do not count."""
    modules = {module_name(source): source for source in sources(root) if source.room}
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for name, source in modules.items():
        for one in imports(source):
            target = one.module if one.module in modules else one.module.rpartition(".")[0]
            if one.when in ("module", "function") and target in modules and target != name:
                edges[name].add(target)
    while leaves := {name for name, targets in edges.items() if not targets & edges.keys()}:
        edges = {name: targets for name, targets in edges.items() if name not in leaves}
    reach = {name: reachable(name, edges) for name in edges}
    circles = {frozenset(other for other in reach[name] if name in reach.get(other, ())) for name in edges}
    return sorted(sorted(circle) for circle in circles if circle)


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in edges.get(todo.pop(), set()) - seen:
            seen.add(target)
            todo.append(target)
    return seen


def private_names(root: Path) -> list[str]:
    """Names with a leading underscore that one module takes out of another of the package."""
    found = []
    for source in sources(root):
        modules = set()  # names in this file that stand for a module of the package
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").startswith(root.name)):
                continue
            up = source.package[: len(source.package) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            for name in node.names:
                if is_private(name.name):
                    found.append(f"{source.place}:{node.lineno} takes {name.name} from {base}")
                if is_module(root, f"{base}.{name.name}"):
                    modules.add(name.asname or name.name)
        for node in ast.walk(source.tree):
            of_module = isinstance(node, ast.Attribute) and dotted(node.value).split(".")[0] in modules | {root.name}
            if of_module and is_private(node.attr):
                found.append(f"{source.place}:{node.lineno} takes {node.attr} from {dotted(node.value)}")
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def wrong_touches(root: Path) -> list[str]:
    found = []
    for source in sources(root):
        for node in ast.walk(source.tree):
            if fault := fault_of(node, source.room):
                found.append(f"{source.place}:{node.lineno} {fault}")
    return found


def fault_of(node: ast.AST, room: str) -> str:
    """What is wrong with one piece of syntax in this room; '' if nothing is."""
    if isinstance(node, ast.Assert):
        return "assert: raise an error of core/errors.py"
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "bare except"
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        names = {f"{node.module}.{name.name}" for name in node.names}
        if bad := names & {"pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "torch.linalg.lstsq"}:
            return f"imports {min(bad)}"
    if isinstance(node, ast.Attribute) and re.fullmatch(r"(torch|xp)(\.linalg)?\.lstsq", dotted(node)):
        return "torch.linalg.lstsq: its rank cut grows with n on the CPU and is missing on CUDA"
    if isinstance(node, ast.Attribute) and dotted(node) == "sys.stdout" and room not in ("cli", "app"):
        return "stdout belongs to cli"
    return fault_of_call(node, room) if isinstance(node, ast.Call) else ""


def fault_of_call(node: ast.Call, room: str) -> str:
    name = dotted(node.func)
    if name == "print" and room != "cli":
        return "print() belongs to cli"
    if room in CLOSED and opens_a_file(node, name):
        return f"{name}() opens a file, which {room} does not"
    if re.fullmatch(r"(c?[pP]ickle|dill|cloudpickle|joblib)\.(load|loads|Unpickler)", name):
        return f"{name}() runs code from a file"
    settings = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
    if settings.get("allow_pickle"):
        return "allow_pickle=True runs code from a file"
    if name == "torch.load":
        if room not in ("encoders", "training"):
            return "torch.load belongs to encoders and training"
        if settings.get("weights_only") is not True:
            return "torch.load without weights_only=True"
    return ""


def opens_a_file(node: ast.Call, name: str) -> bool:
    last = name.split(".")[-1]
    if last in {"read_text", "read_bytes", "write_text", "write_bytes", "savez", "save_file", "load_file", "safe_open"}:
        return True
    if name in {"np.load", "np.save", "np.loadtxt", "np.memmap", "numpy.load", "numpy.save", "torch.save", "open"}:
        return True
    # path.open(), path.open("rb"), io.open(x): not a method that happens to be called open
    modes = [a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return last == "open" and (not node.args or bool(modes) or name in {"io.open", "os.open", "gzip.open"})


def test_no_import_goes_up_or_sideways():
    assert wrong_imports(ROOT) == []


def test_no_import_within_a_room_goes_up_or_sideways():
    assert wrong_inner_imports(ROOT) == []


def test_no_room_touches_what_is_not_its_own():
    assert wrong_touches(ROOT) == []


def test_names_are_imported_from_the_module_that_defines_them():
    assert names_from_elsewhere(ROOT) == []


def test_no_modules_import_each_other():
    assert import_circles(ROOT) == []


def test_a_name_from_a_module_that_only_imports_it_is_caught(house):
    files = {
        "core/a.py": "def f(): ...",
        "core/b.py": "from stitchkit.core.a import f",
        "solvers/c.py": "def g():\n    from stitchkit.core.b import f",
        "solvers/d.py": "from stitchkit.core.a import f\nfrom stitchkit.core import a",
    }
    found = names_from_elsewhere(house(files))
    assert len(found) == 1
    assert found[0].startswith("solvers/c.py:2 takes f")


def test_modules_that_import_each_other_are_caught(house):
    files = {
        "core/a.py": "from stitchkit.core.b import f",
        "core/b.py": "def f():\n    from stitchkit.core import c",
        "core/c.py": "import stitchkit.core.a",
        "core/d.py": "if TYPE_CHECKING:\n    from stitchkit.core.e import T",
        "core/e.py": "from stitchkit.core.d import x\nfrom stitchkit.core.a import f",
    }
    assert import_circles(house(files)) == [["stitchkit.core.a", "stitchkit.core.b", "stitchkit.core.c"]]


def test_no_module_takes_a_private_name_of_another():
    assert private_names(ROOT) == []


PRIVATE = {
    "from a module": "from stitchkit.storage.folders import _write",
    "from a neighbour": "from .b import _write",
    "inside a function": "def f():\n    from stitchkit.storage.folders import write, _write",
    "through a module": "from stitchkit.storage import folders as disk\ndisk._write",
    "through the package": "import stitchkit.storage.folders\nstitchkit.storage.folders._write",
}


@pytest.mark.parametrize("case", PRIVATE)
def test_a_private_name_of_another_module_is_caught(house, case):
    found = private_names(house({"cli/a.py": PRIVATE[case], "cli/b.py": "", "storage/folders.py": ""}))
    assert len(found) == 1, found
    assert found[0].startswith("cli/a.py:")
    assert "_write" in found[0]


def test_private_names_of_ones_own_and_of_python_pass(house):
    text = "from stitchkit import __version__\nfrom stitchkit.storage.folders import write\n"
    text += "def _f(self):\n    self._x = _f"
    assert private_names(house({"cli/a.py": text, "storage/folders.py": "import os\nos._exit"})) == []


def test_every_room_is_named_for_what_it_holds():
    vague = [source.place for source in sources(ROOT) if source.path.stem in VAGUE]
    assert vague == []


def test_the_table_names_each_room_once():
    assert sum(map(len, FLOORS)) == len(FLOOR_OF)
    assert {*AT_MODULE_LEVEL, *CLOSED, *(place.split("/")[0] for place in INSIDE_FUNCTIONS)} <= set(FLOOR_OF)


@pytest.fixture
def house(tmp_path):
    """Writes a small package: place -> text."""

    def build(files: dict[str, str]) -> Path:
        root = tmp_path / "stitchkit"
        public = {
            "align": "stitchkit.alignment.align:align",
            "Ridge": "stitchkit.solvers.ridge:Ridge",
            "compare": "stitchkit.evaluation.retrieval.compare:compare",
        }
        table = f"_PUBLIC = {public}\n"
        for place, text in {"__init__.py": table, **files}.items():
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    return build


UPWARD = {
    "plain import": ("core/a.py", "import stitchkit.solvers.ridge"),
    "from a module": ("core/a.py", "from stitchkit.solvers.ridge import Ridge"),
    "from the package": ("solvers/a.py", "from stitchkit import alignment"),
    "a public name": ("solvers/a.py", "from stitchkit import align"),
    "through an alias": ("solvers/a.py", "import stitchkit as sk\ndef f():\n    return sk.align"),
    "inside a function": ("core/a.py", "def f():\n    from stitchkit.metrics import ranks"),
    "inside a method": ("core/a.py", "class A:\n    def f(self):\n        import stitchkit.storage.folders"),
    "for types": (
        "core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stitchkit.storage.folders",
    ),
    "relative": ("core/a.py", "from ..solvers import ridge"),
    "relative package": ("core/a.py", "from .. import solvers"),
    "sideways": ("solvers/a.py", "from stitchkit.metrics.ranks import recall_at"),
    "sideways module": ("runtime/progress.py", "import stitchkit.core.arrays"),
    "by a table": ("solvers/__init__.py", 'T = {"a": "stitchkit.evaluation.scores.evaluate:evaluate"}'),
    "by a string": ("core/a.py", 'from importlib import import_module\nimport_module("stitchkit.solvers")'),
    "no floor": ("attic.py", "x = 1"),
    "eager roof": ("__init__.py", "from stitchkit.core import arrays"),
    "third party": ("core/a.py", "import scipy.linalg"),
    "third party for solvers": ("solvers/a.py", "from scipy import linalg"),
    "torch in a function of core": ("core/maps.py", "def f():\n    import torch"),
    "torch in a function of solvers": ("solvers/a.py", "def f():\n    import torch"),
    "torch in a verb": ("stitching.py", "import torch"),
    "heavy roof": ("__init__.py", "import numpy"),
}


@pytest.mark.parametrize("case", UPWARD)
def test_an_upward_or_sideways_import_is_caught(house, case):
    place, text = UPWARD[case]
    found = wrong_imports(house({"solvers/ridge.py": "", place: text}))
    assert len(found) == 1, found
    assert place in found[0]


INNER = {
    "sideways": ("evaluation/spaces/a.py", "from stitchkit.evaluation.scores import b"),
    "upward": ("evaluation/retrieval/a.py", "def f():\n    import stitchkit.evaluation.diagnosis.b"),
    "upward from the lowest": ("evaluation/leakage.py", "from stitchkit.evaluation.scores.b import c"),
    "a public name": ("evaluation/anchors/a.py", "import stitchkit as sk\nsk.compare"),
    "relative": ("evaluation/scores/a.py", "from ..retrieval import b"),
    "no floor": ("evaluation/attic.py", "x = 1"),
}


@pytest.mark.parametrize("case", INNER)
def test_an_upward_or_sideways_import_within_a_room_is_caught(house, case):
    place, text = INNER[case]
    found = wrong_inner_imports(house({place: text}))
    assert len(found) == 1, found
    assert place in found[0]


def test_downward_imports_within_a_room_pass(house):
    downward = "from stitchkit.evaluation import leakage\nfrom stitchkit.evaluation.scores.a import f\nfrom . import b"
    files = {
        "evaluation/__init__.py": "",
        "evaluation/diagnosis/a.py": downward,
        "evaluation/leakage.py": "import math",
    }
    assert wrong_inner_imports(house(files)) == []


def test_downward_imports_pass(house):
    root = house(
        {
            "core/arrays.py": "import numpy\nimport array_api_compat\nimport math\ndef f():\n    import torch, scipy",
            "solvers/a.py": "from stitchkit.core.arrays import f\nfrom . import b\ndef g():\n    import scipy",
            "solvers/b.py": 'NAME = "stitchkit.solvers.a:g"\nfrom stitchkit import __version__',
            "alignment/align.py": "from stitchkit import Ridge\nfrom stitchkit.solvers.a import g",
            "stitching.py": "def f():\n    import torch",
            "cli/main.py": "import stitchkit as sk\nimport typer\nsk.align(1, 2)",
            "anchors/loose.py": "import torch",
        }
    )
    assert wrong_imports(root) == []


TOUCHING = {
    "open": ("core/a.py", "open('x')"),
    "path open": ("alignment/a.py", "path.open('rb')"),
    "bare path open": ("stitching.py", "path.open()"),
    "read_text": ("evaluation/a.py", "Path('x').read_text()"),
    "numpy file": ("metrics/a.py", "np.load('x')"),
    "print": ("training/a.py", "def f():\n    print(1)"),
    "stdout": ("reports/a.py", "sys.stdout.write('x')"),
    "torch.load outside": ("storage/folders.py", "torch.load(p, weights_only=True)"),
    "torch.load with code": ("encoders/a.py", "torch.load(p)"),
    "torch.load with False": ("encoders/a.py", "torch.load(p, weights_only=False)"),
    "lstsq": ("solvers/a.py", "torch.linalg.lstsq(a, b)"),
    "lstsq of the namespace": ("solvers/a.py", "xp.linalg.lstsq(a, b)"),
    "lstsq imported": ("solvers/a.py", "from torch.linalg import lstsq"),
    "pickle": ("encoders/a.py", "pickle.load(f)"),
    "pickle imported": ("encoders/a.py", "from pickle import loads"),
    "numpy pickle": ("storage/folders.py", "np.load(f, allow_pickle=True)"),
    "bare except": ("cli/a.py", "try:\n    f()\nexcept:\n    pass"),
    "assert": ("core/a.py", "assert x"),
}


@pytest.mark.parametrize("case", TOUCHING)
def test_a_touch_through_the_wall_is_caught(house, case):
    place, text = TOUCHING[case]
    found = wrong_touches(house({place: text}))
    assert len(found) == 1, found
    assert place in found[0]


def test_touching_ones_own_passes(house):
    root = house(
        {
            "alignment/a.py": '"""print(open(1))"""\ntrack.open(frame)',
            "storage/folders.py": "open('x')\npath.open('rb')\nnp.load('x', allow_pickle=False)",
            "encoders/a.py": "torch.load(p, weights_only=True)\ntry:\n    f()\nexcept OSError:\n    pass",
            "cli/main.py": "print(1)\nsys.stdout.write('x')",
            "training/a.py": "print_nothing()\nsys.stderr.write('x')",
        }
    )
    assert wrong_touches(root) == []
