"""Import the operator's Python from the folder hooks/ beside oclaw.toml.

A module is loaded from CONFIG/hooks/NAME.py under a name of its own, so it can neither
shadow an installed module nor be shadowed by one. The folder is also put at the end of the search path,
so that the operator's modules find each other. No byte code is written there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import trio

from gateway.errors import PluginError, in_words, stays_contained


class OperatorCode:
    """The operator's modules, each imported once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, ModuleType] = {}

    def function(self, reference: str, most: int = 2) -> Callable[..., Any]:
        """Return the function that "module:function" names, and that takes one argument, or up to `most`.

        Raises `PluginError` that completes "it must be …".
        """
        name, _, attribute = reference.partition(":")
        module = self._module(name)
        found = getattr(module, attribute, None)
        if callable(found):
            if not any(_takes(found, count) for count in range(1, most + 1)):
                wanted = "one argument" if most == 1 else "one argument, or two"
                raise PluginError(f"a function that can be called with {wanted}; {attribute} cannot")
            return found  # type: ignore[no-any-return]
        own = [key for key, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__]
        functions = [key for key in own if callable(getattr(module, key)) and not key.startswith("_")]
        raise PluginError(f"a function of {self._folder / name}.py, which has {_listed(functions)}")

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            self._modules[name] = self._import(name)
        return self._modules[name]

    def _import(self, name: str) -> ModuleType:
        path = self._folder / f"{name}.py"
        try:
            there = name.isidentifier() and path.is_file()
        except OSError as error:
            raise PluginError(f"code that can be read; {path} cannot: {error.strerror}") from error
        if name.isidentifier() and path.exists() and not there:
            raise PluginError(f"code that can be read; {path} is no plain file")
        if not there:
            raise PluginError(f'"module:function" with a module in {self._folder}, where {name}.py is not found')
        if str(self._folder) not in sys.path:
            sys.path.append(str(self._folder))
        if not self._modules:
            _forget_modules_in(self._folder)
        unique = f"oclaw_operator_{name}"
        spec = importlib.util.spec_from_file_location(unique, path)
        assert spec is not None and spec.loader is not None, "a path ending in .py always has a loader"
        module = importlib.util.module_from_spec(spec)
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        # Known while it runs, as any module is: a dataclass, say, looks for its own one. The one before it serves on
        # if this one fails.
        before, sys.modules[unique] = sys.modules.get(unique), module
        try:
            spec.loader.exec_module(module)
        except trio.Cancelled:
            raise
        except BaseException as error:  # the operator's code may raise anything while it is imported
            _put_back(unique, before)
            if not stays_contained(error):
                raise
            line = _line_of(error, path)
            raise PluginError(f"code that loads; {path}{line} failed with {in_words(error)}") from error
        finally:
            sys.dont_write_bytecode = written
        return module


def _forget_modules_in(folder: Path) -> None:
    """Let the operator's modules that others of them import be read anew, too: a reload takes what stands there.

    Only single files: a package that somebody has installed there may not bear being imported twice, as numpy does not.
    """
    importlib.invalidate_caches()
    here = folder.absolute()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file == str(here / f"{name}.py"):
            del sys.modules[name]


def _put_back(name: str, module: ModuleType | None) -> None:
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # written in C, and does not say
        pass
    return True


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "no functions"
