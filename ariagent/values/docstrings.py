"""The docstrings below the fields of pydantic's models, for the documents that are made of them.

pydantic can read them itself (``use_attribute_docstrings``), but does so with each import: a tenth of a second of every
start for the settings. This is for commands, not for the service: Python 3.11 cannot parse in two threads at once.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

Schema = dict[str, Any]


def described(model: type[BaseModel]) -> Schema:
    """``model``'s JSON Schema with the docstrings of its fields, and of the fields of models in it."""
    schema = model.model_json_schema()
    schemas = {**schema.get("$defs", {}), model.__name__: schema}
    for each in _within(model, set()):
        properties: dict[str, Schema] = schemas.get(each.__name__, {}).get("properties", {})
        for name, text in _below_fields(each).items():
            if name in properties and "description" not in properties[name]:
                # In the order of pydantic's own keys.
                properties[name] = dict(sorted({**properties[name], "description": text}.items()))
    return schema


def _within(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The models that an annotation has anywhere, and theirs."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from _within(field.annotation, seen)
    for argument in get_args(annotation):
        yield from _within(argument, seen)


def _below_fields(model: type[BaseModel]) -> dict[str, str]:
    """Field -> its docstring; an inherited field may have one in its own class."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(body, ast.ClassDef)
            for field, text in zip(body.body, body.body[1:], strict=False):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                        found[name] = inspect.cleandoc(words)
    return found
