"""Adding items to the lists of a YAML file without touching a byte of what stands there.

A library that writes YAML anew moves comments and folds lines. Here the parser's own marks say
where an item ends, and text is put in there; so everything that a person wrote stays as it is.

Here belongs where text goes. Here does not belong what it says.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml

from lakehouse.errors import LakeError

Step = str | tuple[str, str]
"""The value of a mapping's key, or the item of a list whose key has this value."""


class _Values(yaml.SafeLoader):
    """Turns parts of a parsed file into values."""


class YamlTextError(LakeError):
    """A place in a YAML file that is not there, or that is written so that nothing can be added."""


def append_items(
    text: str, path: Sequence[Step], items: Sequence[str], *, spaced: bool = False
) -> str:
    """Add items at the end of a list.

    Args:
        text: The file.
        path: The way to the list.
        items: Each item in block style: its lines without the dash, the first line not indented.
        spaced: Whether an empty line goes before each.

    Returns:
        The file with the items; all else as it was.

    Raises:
        YamlTextError: There is no such list.
    """
    if not items:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    between = newline * (2 if spaced else 1)
    key, found = _find(text, path)
    if isinstance(found, yaml.SequenceNode) and found.flow_style and found.value:
        after = _end(text, found.value[-1])
        return text[:after] + "".join(f", {_in_one_line(i)}" for i in items) + text[after:]
    if isinstance(found, yaml.SequenceNode) and not found.flow_style:
        start = _line_end(text, _end(text, found))
        blocks = [newline.join(_dashed(item, found.start_mark.column)) for item in items]
        added = between + between.join(blocks)
        return text[:start] + added + _rest(text, start, newline)
    if key is None or not _is_empty(found):
        raise _not_a_list(path)
    # Nothing is in it yet: `[]`, `null` or no value at all.
    blocks = [newline.join(_dashed(item, key.start_mark.column + 2)) for item in items]
    colon = text.index(":", key.end_mark.index) + 1
    start = found.end_mark.index if _spans(found) else colon
    return text[:colon] + newline + between.join(blocks) + (text[start:] or newline)


def replace_item(text: str, path: Sequence[Step], item: str) -> str:
    """Put another item in the place of one in a list written in block style.

    Args:
        text: The file.
        path: The way to the item; its last step names it.
        item: As for ``append_item``.

    Raises:
        YamlTextError: There is no such item, or it stands in a list in brackets.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    _, within = _find(text, path[:-1])
    _, found = _find(text, path)
    if not isinstance(within, yaml.SequenceNode) or within.flow_style:
        raise _not_a_list(path)
    column = within.start_mark.column
    dash = text.rindex("-", 0, found.start_mark.index)
    block = newline.join(_dashed(item, column)).lstrip(" ")
    end = _line_end(text, _end(text, found))
    return text[:dash] + block + text[end:]


def items_in(text: str, path: Sequence[Step]) -> dict[str, object]:
    """What a list's items say, as YAML's values, by their names.

    Raises:
        YamlTextError: There is no such list.
    """
    _, found = _find(text, path)
    values = _Values(text).construct_document(found)
    if not isinstance(values, list):
        return {}
    return {item["name"]: item for item in values if isinstance(item, dict) and "name" in item}


def read_text(path: Path) -> str:
    """A file's text with its own line ends."""
    return path.read_bytes().decode("utf-8")


def _find(text: str, path: Sequence[Step]) -> tuple[yaml.Node | None, yaml.Node]:
    """The key above the place, and what stands there."""
    try:
        # Python's parser, whose marks count characters.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise YamlTextError(f"it is not YAML: {problem}", "correct the file") from error
    key: yaml.Node | None = None
    for step in path:
        pairs: list[tuple[yaml.Node | None, yaml.Node]] = []
        if isinstance(step, str) and isinstance(node, yaml.MappingNode):
            pairs = [(k, value) for k, value in node.value if k.value == step]
        elif isinstance(step, tuple) and isinstance(node, yaml.SequenceNode):
            pairs = [(None, item) for item in node.value if _has(item, *step)]
        if len(pairs) != 1:
            raise _not_a_list(path)
        key, node = pairs[0]
    if node is None:
        raise _not_a_list(path)
    return key, node


def _has(item: yaml.Node, key: str, value: str) -> bool:
    return isinstance(item, yaml.MappingNode) and any(
        k.value == key and v.value == value for k, v in item.value
    )


def _end(text: str, node: yaml.Node) -> int:
    """Where the last character of a node is over; a block's own mark lies behind its comments."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        end = int(node.end_mark.index)
        # A folded text ends where the next token begins.
        folded = getattr(node, "style", None) in ("|", ">")
        return len(text[:end].rstrip()) if folded else end
    if isinstance(node, yaml.MappingNode):
        return max((_end(text, part) for pair in node.value for part in pair), default=0)
    return max((_end(text, part) for part in node.value), default=0)


def _line_end(text: str, position: int) -> int:
    """The end of the line, so that a comment behind an item stays with it."""
    found = text.find("\n", position)
    if found < 0:
        return len(text)
    return found - 1 if text[found - 1] == "\r" else found


def _rest(text: str, start: int, newline: str) -> str:
    return text[start:] or newline


def _dashed(item: str, column: int) -> list[str]:
    lines = item.rstrip("\n").split("\n")
    return [
        (" " * column + ("- " if number == 0 else "  ") + line).rstrip()
        for number, line in enumerate(lines)
    ]


def _in_one_line(item: str) -> str:
    value = yaml.load(item, Loader=yaml.SafeLoader)
    return yaml.safe_dump(
        value, default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False
    ).strip()


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return not node.value
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _spans(node: yaml.Node) -> bool:
    return bool(node.end_mark.index > node.start_mark.index)


def _not_a_list(path: Sequence[Step]) -> YamlTextError:
    place = ".".join(step if isinstance(step, str) else step[1] for step in path)
    return YamlTextError(f"there is no list `{place}` to add to", "write it as a list of `- name:`")
