"""The route table: from a request's path and method to the route that serves it.

A tree of segments, changed in place: a registration costs as much as its path is long, whatever
else is registered, and so does a request. New requests see a change at once; those that run hold
their route and do not care.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from engine.core.protocol import encode
from engine.modules.api.path import PathPattern, decode_segment

if TYPE_CHECKING:
    from engine.core.triggers import Trigger

# In the order in which `Allow` names them.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Route:
    """What serves one method of one path."""

    __slots__ = ("method", "pattern")

    def __init__(self, method: str, pattern: PathPattern) -> None:
        self.method = method
        self.pattern = pattern


class BuiltinRoute(Route):
    """A route that the engine answers itself, until somebody registers the same one.

    Attributes:
        answer: gives the JSON text of the body.
    """

    __slots__ = ("answer",)

    def __init__(self, method: str, pattern: PathPattern, answer: Callable[[], bytes]) -> None:
        super().__init__(method, pattern)
        self.answer = answer


class FunctionRoute(Route):
    """A route that a trigger made.

    Attributes:
        trigger: whose function handles the requests.
        condition: asked first, as a trigger of the same owner; None if there is none.
        middleware: asked after the condition, in this order, as triggers of the same owner.
        parses_body: text and form bodies are handed over too, not only JSON.
        is_guarded: it has a condition or middleware.
        described: the part of the payload that is the same for every request, JSON text.
    """

    __slots__ = (
        "condition",
        "described",
        "is_guarded",
        "middleware",
        "parses_body",
        "trigger",
    )

    def __init__(
        self,
        method: str,
        pattern: PathPattern,
        trigger: Trigger,
        *,
        condition: Trigger | None = None,
        middleware: tuple[Trigger, ...] = (),
        parses_body: bool = False,
    ) -> None:
        super().__init__(method, pattern)
        self.trigger = trigger
        self.condition = condition
        self.middleware = middleware
        self.parses_body = parses_body
        self.is_guarded = condition is not None or bool(middleware)
        cause = {"type": trigger.trigger_type, "path": pattern.text, "method": method}
        self.described = b',"path":%b,"trigger":%b' % (encode(pattern.text), encode(cause))


class Leaf:
    """The end of a path: the owners of each method, newest last.

    Attributes:
        positions: which segments of a request are the parameters.
        serving: the newest owner of each method; GET's stands in for a missing HEAD.
        allow: the value of the `Allow` header.
    """

    __slots__ = ("_owners", "allow", "positions", "serving")

    def __init__(self, positions: tuple[int, ...]) -> None:
        self.positions = positions
        self.serving: dict[str, Route] = {}
        self.allow = b""
        self._owners: dict[str, list[Route]] = {}

    def add(self, route: Route) -> None:
        """Make the route the newest of its method."""
        self._owners.setdefault(route.method, []).append(route)
        self._choose()

    def remove(self, route: Route) -> None:
        """Take exactly this route away; the next newest serves."""
        owners = self._owners[route.method]
        owners.remove(route)
        if not owners:
            del self._owners[route.method]
        self._choose()

    def _choose(self) -> None:
        serving = {method: owners[-1] for method, owners in self._owners.items()}
        if "GET" in serving:
            serving.setdefault("HEAD", serving["GET"])
        self.serving = serving
        self.allow = ", ".join(method for method in METHODS if method in serving).encode()


class _Node:
    """A place in the tree: where the next segment may lead."""

    __slots__ = ("leaf", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.leaf: Leaf | None = None

    @property
    def is_empty(self) -> bool:
        return self.leaf is None and self.parameter is None and not self.literals

    def child(self, segment: str | None) -> _Node:
        """Return where a segment leads, making the way if there is none."""
        node = self.parameter if segment is None else self.literals.get(segment)
        if node is None:
            node = _Node()
            if segment is None:
                self.parameter = node
            else:
                self.literals[segment] = node
        return node

    def cut(self, segment: str | None) -> None:
        """Forget where a segment leads."""
        if segment is None:
            self.parameter = None
        else:
            del self.literals[segment]


class RouteTable:
    """All routes of the engine.

    A literal segment beats a parameter at the same place, whichever was registered first; if it
    leads nowhere the search goes back to the parameter.
    """

    def __init__(self, *, ignore_trailing_slash: bool = False) -> None:
        self._root = _Node()
        self._literals: dict[str, Leaf] = {}
        self._ignore_trailing_slash = ignore_trailing_slash

    def add(self, route: Route) -> None:
        """Let a route serve from now on."""
        segments = self._shape(route.pattern)
        node = self._root
        for segment in segments:
            node = node.child(segment)
        if node.leaf is None:
            positions = tuple(at for at, segment in enumerate(segments) if segment is None)
            node.leaf = Leaf(positions)
            if (path := _plain_path(segments)) is not None:
                self._literals[path] = node.leaf
        node.leaf.add(route)

    def remove(self, route: Route) -> None:
        """Take exactly this route away; it must have been added."""
        segments = self._shape(route.pattern)
        way = [self._root]
        for segment in segments:
            way.append(way[-1].child(segment))
        leaf = way[-1].leaf
        if leaf is None:
            raise LookupError(f"no route of the shape {route.pattern.text!r}")
        leaf.remove(route)
        if leaf.serving:
            return
        way[-1].leaf = None
        if (path := _plain_path(segments)) is not None:
            del self._literals[path]
        for parent, segment, child in zip(way[-2::-1], segments[::-1], way[:0:-1], strict=True):
            if not child.is_empty:
                break
            parent.cut(segment)

    def find(self, path: str) -> tuple[Leaf, Sequence[str]] | None:
        """Look up a request's path.

        Args:
            path: as it came, percent-encoded, without its leading slash.

        Returns:
            The end of the path and the parameters' values, still encoded; None for no match.
        """
        if self._ignore_trailing_slash:
            path = path.removesuffix("/")
        leaf = self._literals.get(path)
        if leaf is not None:
            return leaf, ()
        segments = path.split("/")
        keys = segments if "%" not in path else [decode_segment(segment) for segment in segments]
        leaf = _descend(self._root, keys, 0)
        if leaf is None:
            return None
        return leaf, [segments[position] for position in leaf.positions]

    def _shape(self, pattern: PathPattern) -> tuple[str | None, ...]:
        segments = pattern.segments
        if self._ignore_trailing_slash and len(segments) > 1 and segments[-1] == "":
            return segments[:-1]
        return segments


def _plain_path(segments: Sequence[str | None]) -> str | None:
    # The path that can be looked up at once: what a client sends encoded goes through the tree,
    # because an encoded slash or percent sign is part of a segment.
    plain: list[str] = []
    for segment in segments:
        if segment is None or "/" in segment or "%" in segment:
            return None
        plain.append(segment)
    return "/".join(plain)


def _descend(node: _Node, keys: Sequence[str], start: int) -> Leaf | None:
    for at in range(start, len(keys)):
        key = keys[at]
        literal = node.literals.get(key)
        parameter = node.parameter if key else None
        if literal is None:
            if parameter is None:
                return None
            node = parameter
        elif parameter is None:
            node = literal
        else:
            leaf = _descend(literal, keys, at + 1)
            if leaf is not None:
                return leaf
            node = parameter
    return node.leaf
