"""JSON requests and responses: validate a request, call a function in a thread, return its result."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spisonet.errors import SpisonetError
from spisonet.gui.file_names import escape_bytes
from spisonet.gui.requests import RequestModel
from spisonet.io.config import field_faults
from spisonet.io.json_files import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

# Raised for JSON of an unexpected form.
DAMAGED_RECORD_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
NOT_CACHED = {"Cache-Control": "no-store"}
R = TypeVar("R", bound=RequestModel)


class AsciiResponse(JSONResponse):
    """JSON in ASCII; bytes of file names that are not UTF-8 are escaped."""

    def render(self, content: Any) -> bytes:
        """Return the content of the response."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class FormError(SpisonetError):
    """A form contains invalid values.

    Parameters
    ----------
    field_errors : dict
        Error messages by field.
    """

    def __init__(self, field_errors: dict[str, str]) -> None:
        super().__init__(
            "; ".join(f"{field}: {message}" for field, message in field_errors.items()), code="invalid_form"
        )
        self.field_errors = field_errors


def get_route(path: str, model: type[R], respond: Callable[[R], Any]) -> Route:
    """Return a route that answers GET requests with the result of `respond` as JSON."""
    return _route(path, model, respond, "GET")


def post_route(path: str, model: type[R], respond: Callable[[R], Any]) -> Route:
    """Return a route that answers POST requests with the result of `respond` as JSON."""
    return _route(path, model, respond, "POST")


def _route(path: str, model: type[R], respond: Callable[[R], Any], method: str) -> Route:
    async def handle(request: Request) -> Response:
        parsed = await parse_request(request, model)
        try:
            content = await anyio.to_thread.run_sync(respond, parsed)
        except DAMAGED_RECORD_ERRORS as error:
            raise SpisonetError(
                "The files that this page shows are damaged, or of another version.", code=DAMAGED
            ) from error
        return AsciiResponse(_representable(content), headers=NOT_CACHED)

    return Route(path, handle, methods=[method])


async def parse_request(request: Request, model: type[R]) -> R:
    """Validate the query of a GET request, or the JSON body of any other.

    Raises
    ------
    SpisonetError
        If a field is missing, unknown or invalid.
    """
    try:
        if request.method == "GET":
            return model.model_validate(dict(request.query_params))
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        field, message = next(iter(field_faults(error).items()))
        raise SpisonetError(f"Invalid request: {field}: {message}") from error


async def error_response(_request: Request, error: Exception) -> Response:
    """Return an error as JSON: ``error`` (the message), ``code``, and for forms messages by field."""
    if isinstance(error, FormError):
        content = {"error": str(error), "code": error.code, "field_errors": error.field_errors}
        return AsciiResponse(_representable(content), 422)
    if isinstance(error, SpisonetError):
        return AsciiResponse(_representable({"error": str(error), "code": error.code}), 400)
    return AsciiResponse(_representable({"error": str(error), "code": "system_error"}), 500)


def _representable(content: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null, and escape bytes that are not UTF-8."""
    if isinstance(content, dict):
        return {_representable(key): _representable(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_representable(value) for value in content]
    if isinstance(content, str):
        return escape_bytes(content)
    return None if isinstance(content, float) and not math.isfinite(content) else content
