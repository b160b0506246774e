"""Templates in the parameters of steps: ``{{steps.summary.output}}``, ``{{file.fileName}}``, ``{{input.topic}}``.

Jinja2's sandbox, of which only what names a value is left: no statements, no calls, no arithmetic, and the filters
below. So a template can't loop, and what it makes is bounded by what it names.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from apps.base.errors import ValidationFailed

MAX_TEMPLATE_CHARS = 20_000
MAX_RENDERED_CHARS = 100_000
MAX_ARGUMENT_CHARS = 100
VARIABLES = ("file", "input", "prompt", "run", "steps")
# None of them makes much more than it is given: their arguments are short constants.
FILTERS = frozenset(
    {
        "capitalize",
        "default",
        "first",
        "join",
        "last",
        "length",
        "lower",
        "tojson",
        "trim",
        "truncate",
        "upper",
    }
)
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.Filter,
    nodes.Keyword,
)


class TemplateFailed(ValidationFailed):
    code = "template_error"


def check_template(template: str, *, earlier_steps: Collection[str]) -> None:
    """Raises TemplateFailed, which says what is wrong, for a template that could never be filled in."""
    if len(template) > MAX_TEMPLATE_CHARS:
        raise TemplateFailed(f"A text may have {MAX_TEMPLATE_CHARS} characters at most.")
    tree = _parse(template)
    for name in tree.find_all(nodes.Name):
        if name.name not in VARIABLES:
            raise TemplateFailed(f"There is no '{name.name}'. There are: {', '.join(VARIABLES)}.")
    for step in _named_steps(tree):
        if step not in earlier_steps:
            raise TemplateFailed(f"No step before this one is called '{step}'.")


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with every template in it filled in, however deep in lists and objects; keys stay as they are.

    Raises TemplateFailed for one that names what is not there, or becomes too long.
    """
    match value:
        case str():
            return _render_text(value, variables)
        case list():
            return [render(item, variables) for item in value]
        case dict():
            return {key: render(item, variables) for key, item in value.items()}
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value, which may be a template."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts_of(item)
        case dict():
            for item in value.values():
                yield from texts_of(item)


def as_text(value: Any) -> str:
    """As a template writes it: text as it is, nothing for null, anything else as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
    return json.dumps(value, ensure_ascii=False)


def _finalize(value: Any) -> Any:
    return value if isinstance(value, StrictUndefined) else as_text(value)


_environment = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, finalize=_finalize, autoescape=False, keep_trailing_newline=True
)
_environment.globals.clear()


def _parse(template: str) -> nodes.Template:
    try:
        tree = _environment.parse(template)
    except (TemplateSyntaxError, RecursionError) as error:
        raise TemplateFailed(f"The template can't be read: {error}") from error
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            raise TemplateFailed(
                "A template names values, like {{steps.summary.output}}; statements, calls and arithmetic are not "
                "for templates."
            )
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TemplateFailed(
                f"There is no filter '{node.name}'. There are: {', '.join(sorted(FILTERS))}."
            )
        if isinstance(node, nodes.Filter) and not all(map(_is_short, _arguments(node))):
            raise TemplateFailed(
                f"What a filter is given is a constant, of {MAX_ARGUMENT_CHARS} characters at most."
            )
    return tree


def _arguments(node: nodes.Filter) -> list[nodes.Node]:
    return [*node.args, *(keyword.value for keyword in node.kwargs)]


def _is_short(argument: nodes.Node) -> bool:
    return isinstance(argument, nodes.Const) and len(str(argument.value)) <= MAX_ARGUMENT_CHARS


def _named_steps(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Getattr):
        if _is_steps(node.node):
            yield node.attr
    for item in tree.find_all(nodes.Getitem):
        if _is_steps(item.node) and isinstance(item.arg, nodes.Const):
            yield str(item.arg.value)


def _is_steps(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "steps"


def _render_text(text: str, variables: Mapping[str, Any]) -> str:
    if "{" not in text:
        return text
    _parse(text)
    pieces: list[str] = []
    length = 0
    try:
        for piece in _environment.from_string(text).generate(**variables):
            length += len(piece)
            if length > MAX_RENDERED_CHARS:
                raise TemplateFailed(f"The text became longer than {MAX_RENDERED_CHARS} characters.")
            pieces.append(piece)
    except (TemplateError, SecurityError, TypeError, ValueError, RecursionError) as error:
        raise TemplateFailed(f"The template can't be filled in: {error}") from error
    return "".join(pieces)
