"""What of a job file trains: its workload with all that this uses, and neither rounds, nor comments, nor formatting.

A measurement is bound to it (rules BA9, AD1): who writes the batch size that was measured into the round below the
workload has changed nothing that was measured. What a trial was trained by is told apart more strictly, by the whole
file's `source_hash`.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import tenacity

NUM_PARSES = 100
"""After so many of one text it is no accident that they fail."""

_DEFINES = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import)
"""Statements that do no more than to bind names; any other may do anything, and counts."""


def training_code(path: Path, class_name: str) -> str:
    """The code of a workload's class in a normal form: that of its file, and of modules beside it that it imports.

    Args:
        path: of the file.
        class_name: of the class, which may stand within others.

    Raises:
        SyntaxError: the file, or a module beside it, is no Python any more.
    """
    found, waiting = {path: _used(_parsed(path.read_bytes()), class_name.partition(".")[0])}, [path]
    while waiting:
        file = waiting.pop()
        absolute = (_beside(module, path) for module in _imported(found[file]))
        for beside in (*absolute, *_imported_relatively(found[file], file)):
            if beside is not None and beside not in found:
                found[beside] = _parsed(beside.read_bytes())
                waiting.append(beside)
    return "\n".join(ast.dump(statement) for file in sorted(found) for statement in found[file])


def cell_of(cls: type) -> str:
    """The source of the cell of a notebook, or of a shell, in which a class was defined; empty where nobody kept it."""
    methods = (inspect.unwrap(value) for value in vars(cls).values() if inspect.isfunction(value))
    files = {method.__code__.co_filename for method in methods if inspect.isfunction(method)}
    return "".join("".join(linecache.getlines(file)) for file in sorted(files))


def training_code_of_cell(cell: bytes, class_name: str) -> str:
    """As `training_code`, of a cell; what it uses of other cells is not followed."""
    statements = _used(_parsed(cell), class_name.partition(".")[0])
    return "\n".join(ast.dump(statement) for statement in statements)


def _parsed(source: bytes) -> list[ast.stmt]:
    """The statements of a file without docstrings, and without what only runs where it is the program."""
    tree = _tree(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return [statement for statement in tree.body if not _is_main(statement)]


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(SystemError), stop=tenacity.stop_after_attempt(NUM_PARSES), reraise=True
)
def _tree(source: bytes) -> ast.Module:
    """The syntax tree of a file's text.

    Before Python 3.13 the threads of a process count the depth of the trees that they build in one variable
    (https://github.com/python/cpython/issues/106905): where another thread parses meanwhile, and the printing of a
    traceback does, a right tree is taken for a wrong one. It is built once more then.
    """
    return ast.parse(source)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _used(statements: list[ast.stmt], class_name: str) -> list[ast.stmt]:
    """A class, how it is called, and every statement that binds a name which these use, or which they may need."""
    made = [
        node
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == class_name
    ]
    kept = {number for number, statement in enumerate(statements) if not _only_binds(statement)}
    names = {class_name, *_names([*made, *(statements[number] for number in kept)])}
    while True:
        more = {n for n, statement in enumerate(statements) if n not in kept and names.intersection(_bound(statement))}
        if not more:
            break
        kept |= more
        names.update(_names(statements[number] for number in more))
    return [*(statements[number] for number in sorted(kept)), *(ast.Expr(call) for call in made)]


def _only_binds(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return all(alias.name != "*" for alias in statement.names)
    return isinstance(statement, _DEFINES)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds, or whose value it changes."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign():
            return _names(statement.targets)
        case ast.AnnAssign() | ast.AugAssign():
            return _names([statement.target])
    return set()


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.id for each in nodes for node in ast.walk(each) if isinstance(node, ast.Name)}


def _imported(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The modules that code imports by their whole names, wherever in it."""
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imported_relatively(statements: Iterable[ast.stmt], file: Path) -> Iterator[Path]:
    """The files of the modules that a file of a package imports from beside it: ``from .layers import Block``."""
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom) and node.level:
            within = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for named in (within, *(within / alias.name for alias in node.names)):
                for each in (named.with_name(f"{named.name}.py"), named / "__init__.py"):
                    if each.is_file():
                        yield each


def _beside(module: str, path: Path) -> Path | None:
    """The file of a module that lies in the folder of another file, or below; None of one that lies elsewhere."""
    file = getattr(sys.modules.get(module), "__file__", None)
    found = None if file is None else Path(file).resolve()
    is_users = found is not None and found.suffix == ".py" and "site-packages" not in found.parts
    return found if found is not None and is_users and found.is_relative_to(path.parent) else None
