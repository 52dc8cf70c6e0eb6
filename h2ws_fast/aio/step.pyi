import contextvars
from collections.abc import Coroutine
from typing import Any

def step(coroutine: Coroutine[Any, Any, Any], context: contextvars.Context) -> Any: ...
