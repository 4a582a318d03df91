"""The document of the API, judged by somebody else's validator."""

from typing import Any

from openapi_spec_validator import validate

from ariagent.control.openapi import document
from ariagent.control.routes import ROUTES


def test_the_document_is_openapi() -> None:
    validate(document(ROUTES, "1.2.3"))


async def test_it_is_served_to_everybody_and_has_every_route(site: Any) -> None:
    status, found, _ = await site.ask("GET", "/v1/openapi.json", None)
    assert status == 200
    validate(found)
    there = {(method.upper(), path) for path, item in found["paths"].items() for method in item}
    assert there == {(route.method, route.path) for route in ROUTES}


async def test_what_it_says_about_access_is_so(site: Any, token: dict[str, str]) -> None:
    """Everything that the document puts behind a token is, and roles are what it says."""
    _, found, _ = await site.ask("GET", "/v1/openapi.json", None)
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if operation.get("security") == []:
                continue
            real = path.replace("{id}", "1.1")
            status, body, headers = await site.ask(method.upper(), real, None)
            assert (status, body["error"]) == (401, "no_token"), path
            assert headers["WWW-Authenticate"].startswith("Bearer")
            if "supervisor" in operation["description"]:
                status, body, _ = await site.ask(method.upper(), real, token["viewer"])
                assert (status, body["error"]) == (403, "wrong_role"), path


async def test_answers_are_as_it_says(site: Any) -> None:
    from openapi_schema_validator import OAS31Validator

    _, found, _ = await site.ask("GET", "/v1/openapi.json", None)
    for path in ("/v1/calls", "/v1/queues", "/v1/seats"):
        status, body, _ = await site.ask("GET", path)
        schema = found["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]["schema"]
        OAS31Validator({**schema, "components": found["components"]}).validate(body)
