"""Finds every code that the sources can raise, by reading them: classes of errors, and calls with `reason=`.

Nothing is imported, so that no part of the mesh needs to be installed. What cannot be read off the source, since it is
computed, must stand in COMPUTED with all that it can be.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from services.chassis.errors import BY_CODE, Code, Internal
from services.gateway.errors import http_status

_ROOT = Path(__file__).parents[2]
_SERVICES = _ROOT / "services"
_REASON = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_KINDS = {kind.__name__: kind for kind in BY_CODE.values()}
_PARAMETER = "reason"

# Where a reason is computed: file and source text, and what it can be. Empty: what was raised elsewhere goes on.
COMPUTED: dict[tuple[str, str], tuple[str, ...]] = {
    ("gateway/limits.py", "reason"): ("TOO_MANY_ALIASES", "TOO_MANY_FIELDS"),
    ("gateway/streaming.py", "error.reason"): (),
    ("chassis/channel.py", "info.reason"): (),
    ("social/domain/accounts.py", "self.value"): (
        "REFRESH_TOKEN_INVALID",
        "REFRESH_TOKEN_EXPIRED",
        "REFRESH_TOKEN_REUSED",
        "SESSION_REVOKED",
    ),
    ("social/errors/accounts.py", "f'{field.upper()}_TAKEN'"): ("USERNAME_TAKEN", "EMAIL_TAKEN"),
    ("social/errors/moderation.py", "f'{kind}_NOT_FOUND'"): (
        "USER_NOT_FOUND",
        "PLAYLIST_NOT_FOUND",
        "COMMENT_NOT_FOUND",
    ),
}

# Enumerations whose values are reasons in results, and calls that write one, by the place of that argument.
RESULT_ENUMS = frozenset({"NotReplayed", "Unmatched"})
RESULT_CALLS = {"_kept": 1, "_fail": 1, "_failure": 2, "store_failure": 3}

# What no client ever sees, and why.
UNSEEN: dict[str, str] = {
    **dict.fromkeys(
        "ARTIFACT_CORRUPT ARTIFACT_INVALID ARTIFACT_MISSING BUS_MISCONFIGURED ENCODER_UNAVAILABLE NO_GPU"
        " POOLING_NOT_SERVED PRECISION_REFUSED PRECISION_UNAVAILABLE".split(),
        "a process does not start",
    ),
    **dict.fromkeys(
        "FMA_INVALID GENRE_MAP_INVALID JAMENDO_INVALID MANIFEST_INVALID SOURCE_INVALID".split(),
        "told by `museed ingest`, which reads these files itself",
    ),
    **dict.fromkeys(("MAIL_AWAY", "MAIL_REFUSED"), "mails are sent after their request was answered"),
    **dict.fromkeys(("TOO_LONG", "TRACK_MISMATCH"), "a message of the vector log, which the log tells of"),
    **dict.fromkeys(("MESSAGE_MALFORMED", "MESSAGE_TOO_LARGE"), "the gateway writes the messages, and bounds them"),
    "CALLER_REFUSED": "TLS_CALLERS lets in who calls; a rule holds it to the connections that the services open",
    "MEDIA_UNAVAILABLE": "told by bulk work, in what it left out",
    "PROFILE_OF_ANOTHER": "workers ask for the person that they work for",
    "UPLOAD_MALFORMED": "the stream of an upload to the embedder; social names a blob",
    "WINDOWS_AMBIGUOUS": "social names the windows by their digest alone",
}


@dataclass
class Raised:
    """A code and where it comes from.

    Attributes:
        places: Files that raise it.
        kinds: Names of the canonical codes.
    """

    places: set[str] = field(default_factory=set)
    kinds: set[Code] = field(default_factory=set)
    name: str = ""

    @property
    def statuses(self) -> set[tuple[str, int]]:
        """Canonical codes, each with the HTTP status of a plain route."""
        return {(kind.value, http_status(BY_CODE[kind]("", reason=self.name))) for kind in self.kinds}


@cache
def raised_codes() -> dict[str, Raised]:
    """Return every code that the services' sources can raise, or give as a reason in a result."""
    modules = {path: _Module(path) for path in sorted(_SERVICES.rglob("*.py"))}
    found: dict[str, Raised] = defaultdict(Raised)
    found[Internal.default_reason] = Raised({"chassis/errors.py"}, {Internal.code}, Internal.default_reason)
    for path, module in modules.items():
        for name, kind in module.codes(modules):
            found[name].name = name
            found[name].places.add(str(path.relative_to(_SERVICES)))
            if kind is not None:
                found[name].kinds.add(kind)
    return dict(found)


class UnreadReason(Exception):
    """A reason is computed, and COMPUTED does not say what it can be."""


class _Module:
    """A source file.

    Args:
        path: Of it.
    """

    def __init__(self, path: Path) -> None:
        self._file = str(path.relative_to(_SERVICES))
        tree = ast.parse(path.read_text())
        self._classes: dict[str, ast.ClassDef] = {}
        self._constants: dict[str, str] = {}
        self._imports: dict[str, tuple[Path, str]] = {}
        self._calls: list[tuple[ast.Call, ast.ClassDef | None, tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]]] = []
        self._visit(tree, None, ())

    def _visit(self, node: ast.AST, owner: ast.ClassDef | None, functions: tuple[ast.AST, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            inner, within = owner, functions
            if isinstance(child, ast.ClassDef):
                self._classes[child.name] = inner = child
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                within = (*functions, child)
            elif isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name) and not functions:
                if isinstance(child.value, ast.Constant) and isinstance(child.value.value, str):
                    self._constants[child.targets[0].id] = child.value.value
            elif isinstance(child, ast.ImportFrom) and (child.module or "").startswith("services."):
                self._import(child)
            elif isinstance(child, ast.Call):
                self._calls.append((child, owner, within))  # type: ignore[arg-type]  # functions alone are put there
            self._visit(child, inner, within)

    def _import(self, node: ast.ImportFrom) -> None:
        base = _ROOT.joinpath(*str(node.module).split("."))
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        for alias in node.names:
            self._imports[alias.asname or alias.name] = (path, alias.name)

    def kind_of(self, name: str, modules: "dict[Path, _Module]") -> Code | None:
        """Return the canonical code of a class of errors; None where it is something else."""
        if name in self._classes:
            if self._file == "chassis/errors.py" and name in _KINDS:
                return _KINDS[name].code
            bases = [base.id for base in self._classes[name].bases if isinstance(base, ast.Name)]
            return next((kind for base in bases if (kind := self.kind_of(base, modules)) is not None), None)
        path, original = self._imports.get(name, (None, name))
        return modules[path].kind_of(original, modules) if path in modules else None

    def codes(self, modules: "dict[Path, _Module]") -> Iterator[tuple[str, Code | None]]:
        """Yield codes with what they are in canonical terms, None for reasons in results."""
        for name, node in self._classes.items():
            if (kind := self.kind_of(name, modules)) is not None:
                yield from ((text, kind) for text in _attributes(node, "default_reason"))
            elif name in RESULT_ENUMS:
                yield from ((text, None) for text in _attributes(node))
        for call, owner, functions in self._calls:
            kind = self._kind_of_call(call, owner, modules)
            given = next((one.value for one in call.keywords if one.arg == _PARAMETER), None)
            if kind is not None and given is not None:
                yield from ((text, kind) for text in self._texts(given, functions))
            elif (place := RESULT_CALLS.get(_called(call))) is not None and len(call.args) > place:
                yield from ((text, None) for text in self._results(call.args[place]))

    def _kind_of_call(self, call: ast.Call, owner: ast.ClassDef | None, modules: "dict[Path, _Module]") -> Code | None:
        name = _called(call)
        if owner is not None and name in ("__init__", "cls"):
            name = owner.name
        return self.kind_of(name, modules)

    def _texts(self, value: ast.expr, functions: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]) -> list[str]:
        if isinstance(value, ast.Constant):
            return [str(value.value)]
        if isinstance(value, ast.IfExp):
            return [*self._texts(value.body, functions), *self._texts(value.orelse, functions)]
        if isinstance(value, ast.Name) and value.id in self._constants:
            return [self._constants[value.id]]
        if isinstance(value, ast.Name) and functions and (passed := self._passed(functions[-1], value.id)):
            return passed
        try:
            return list(COMPUTED[self._file, ast.unparse(value)])
        except KeyError:
            raise UnreadReason(f"services/{self._file}: reason={ast.unparse(value)}: say in COMPUTED what") from None

    def _passed(self, function: ast.FunctionDef | ast.AsyncFunctionDef, parameter: str) -> list[str]:
        """Return what callers in this file give for a parameter of a function."""
        names = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
        if parameter not in names:
            return []
        found: list[str] = []
        for call, _, _ in self._calls:
            if _called(call) == function.name:
                given = dict(zip(names, call.args, strict=False)) | {one.arg: one.value for one in call.keywords}
                if isinstance(value := given.get(parameter), ast.Constant):
                    found.append(str(value.value))
        return found

    def _results(self, value: ast.expr) -> list[str]:
        text = value.value if isinstance(value, ast.Constant) else None
        if isinstance(value, ast.Name):
            text = self._constants.get(value.id)
        return [text] if isinstance(text, str) and _REASON.fullmatch(text) else []


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _attributes(node: ast.ClassDef, name: str = "") -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign):
            target: ast.expr = line.target
        elif isinstance(line, ast.Assign):
            target = line.targets[0]
        else:
            continue
        is_wanted = isinstance(target, ast.Name) and name in ("", target.id)
        if is_wanted and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str):
            yield line.value.value
