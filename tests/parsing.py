"""``ast.parse`` for tests that read the sources."""

import ast
import gc


def parsed(source: str) -> ast.Module:
    """The syntax tree of a module. Python 3.11 sometimes raises SystemError ("AST constructor recursion depth
    mismatch") if a garbage collection runs meanwhile, because finalizers may let another thread in."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_on:
            gc.enable()
