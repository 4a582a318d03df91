"""The docstrings below the fields of pydantic's models, for the documents that are made of them.

pydantic can read them itself (``use_attribute_docstrings``), but does so with each import: a tenth of a second of every
start.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

Schema = dict[str, Any]


def describe(models: Iterable[type[BaseModel]], schemas: dict[str, Schema]) -> None:
    """Add the docstrings of the fields of these models, and of models in them, to their JSON Schemas, by name."""
    seen: set[type[BaseModel]] = set()
    for model in [each for root in models for each in _within(root, seen)]:
        properties: dict[str, Schema] = schemas.get(model.__name__, {}).get("properties", {})
        for name, text in _below_fields(model).items():
            if name in properties and "description" not in properties[name]:
                # In the order of pydantic's own keys.
                properties[name] = dict(sorted({**properties[name], "description": text}.items()))


def described(model: type[BaseModel]) -> Schema:
    """``model``'s JSON Schema with all docstrings."""
    schema = model.model_json_schema()
    describe([model], {**schema.get("$defs", {}), model.__name__: schema})
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
