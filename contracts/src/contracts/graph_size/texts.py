"""Upper bounds of the outputs of stock classes that produce text and numbers."""

import re
from collections.abc import Callable
from math import inf, sqrt
from string import Formatter

from contracts.graph_size.expression import bound_expression
from contracts.graph_size.node import NodeInputs, Outputs
from contracts.graph_size.size import EMPTY, Size, clamp_bound, combine_maximums, number_size, text_size

CASE_CHANGE_FACTOR = 3  # bytes that one byte can become by a change of case
MAX_TOKEN_BYTES = 32  # bytes of one token of a language model
REPR_FACTOR = 10  # bytes that one character becomes in a repr
NUMBER_BYTES = 32  # bytes of a number as text
PRINTED_VALUE_BYTES = 4096  # bytes of any other value as text
MAX_TEMPLATE_LENGTH = 65_536  # characters
MAX_RATIO = 21 / 9  # largest ratio that ResolutionSelector offers

_DIGITS = re.compile(r"[0-9]+")


def _bound_passed_text(node: NodeInputs) -> Outputs:
    return text_size(node.text_bytes(), items=node.runs)


def _bound_replaced_text(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of the text after a replacement, assuming as many occurrences as fit.

    An empty search text occurs between all characters. An unknown one can be empty.
    """
    whole, new = node.text_bytes("string", "texts"), node.text_bytes("replace")
    find = node.literal("find")
    places = whole + 1 if not isinstance(find, str) or not find else whole // len(find.encode("utf-8", "replace"))
    return text_size(whole + places * new, items=node.runs)


def _bound_pattern_replacement(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a text in which the matches of a regular expression are replaced.

    The expression can match between all characters, and the replacement can repeat the match.
    """
    whole, new = node.text_bytes("string"), node.text_bytes("replace")
    literal = node.literal("replace")
    repeats = literal.count("\\") if isinstance(literal, str) else new
    return text_size(whole + (whole + 1) * (new + repeats * whole), items=node.runs)


def _bound_formatted_text(node: NodeInputs) -> Outputs:
    """Return an upper bound of the size of a formatted text.

    Each field is assumed to have the longest value, padded as its format specifies.
    """
    template = node.literal("f_string")
    if not isinstance(template, str) or len(template) > MAX_TEMPLATE_LENGTH:
        return text_size(inf, items=node.runs)  # can specify any width
    longest = max((_count_printed_bytes(size) for _, size in node.bound_family("values.")), default=0)
    if "!" in template:
        longest *= REPR_FACTOR
    fields, padding = 0, 0.0
    try:
        for _, name, form, _ in Formatter().parse(template):
            if name is not None:
                fields += 1
                padding += _find_largest_width(form or "") + (PRINTED_VALUE_BYTES if "." in name or "[" in name else 0)
    except ValueError:
        return EMPTY._replace(items=node.runs)  # the node refuses it as well
    return text_size(node.text_bytes("f_string") + fields * longest + padding, items=node.runs)


def _count_printed_bytes(size: Size) -> int:
    """Return the bytes of a value as text: a text, a number, or anything else."""
    return size.text or (NUMBER_BYTES if size.high < inf else PRINTED_VALUE_BYTES)


def _find_largest_width(form: str) -> float:
    """Return the largest width or precision of a format; unlimited if it comes from a value."""
    return inf if "{" in form else max((float(digits[:20]) for digits in _DIGITS.findall(form)), default=0)


def _bound_recased_text(node: NodeInputs) -> Outputs:
    return text_size(CASE_CHANGE_FACTOR * node.text_bytes(), items=node.runs)


def _bound_found_matches(node: NodeInputs) -> Outputs:
    return text_size(2 * node.text_bytes("string") + 2, items=node.runs)


def _bound_json_dump(node: NodeInputs) -> Outputs:
    return text_size(16 * node.any_input.text + 4096, items=node.runs)


def _bound_generated_text(node: NodeInputs) -> Outputs:
    return text_size(MAX_TOKEN_BYTES * node.max_number("max_length", 512, 32_768), items=node.runs)


def _bound_joined_list(node: NodeInputs) -> Outputs:
    items = sum(size.items for size in node.linked_sizes)
    return text_size(max((size.text for size in node.linked_sizes), default=0), items=clamp_bound(max(items, 1)))


def _bound_number(node: NodeInputs) -> Outputs:
    low, high = node.number_range("value")
    return number_size(high, low, items=node.runs) if high < inf else EMPTY._replace(items=node.runs)


def _bound_either_input(node: NodeInputs) -> Outputs:
    """Return an upper bound of an output that is one of two inputs."""
    return combine_maximums((node.bound_input("on_false"), node.bound_input("on_true")))._replace(items=node.runs)


def _bound_calculation(node: NodeInputs) -> Outputs:
    expression = node.literal("expression")
    if not isinstance(expression, str):
        return EMPTY._replace(items=node.runs)
    names = {name: (-size.minus_low, size.high) for name, size in node.bound_family("values.")}
    low, high = bound_expression(expression, names)
    return number_size(high, low, items=node.runs)


def _bound_get_image_size_outputs(node: NodeInputs) -> Outputs:
    """Return upper bounds of the outputs of GetImageSize: width, height and batch size."""
    seen = node.any_image
    return tuple(number_size(value, 1, items=node.runs) for value in (seen.width, seen.height, seen.batch))


def _bound_text_length(node: NodeInputs) -> Outputs:
    return number_size(node.text_bytes(), 0, items=node.runs)


def _bound_resolution(node: NodeInputs) -> Outputs:
    pixels = node.max_number("megapixels", 1, 16) * 1024 * 1024
    return number_size(sqrt(pixels * MAX_RATIO) + node.max_number("multiple", 8, 256), 1, items=node.runs)


def _bound_duration_predictor(node: NodeInputs) -> Outputs:
    seconds = node.max_number("max_seconds", 20, 60)
    frames = seconds * node.max_number("frame_rate", 25, 120) + 9
    return number_size(frames, 0, items=node.runs), number_size(seconds, 0, items=node.runs)


def _bound_camera_text(node: NodeInputs) -> Outputs:
    values = (node.max_number(name, 1, 16_384) for name in ("width", "height", "length"))
    return EMPTY, *(number_size(value, 1, items=node.runs) for value in values)


def _bound_tracks_text(node: NodeInputs) -> Outputs:
    return EMPTY, number_size(node.max_number("num_frames", 81, 1024), 0, items=node.runs)


def _bound_song_text(node: NodeInputs) -> Outputs:
    return EMPTY, number_size(node.max_number("max_duration", 120, 360), 0, items=node.runs)


RULES: dict[str, Callable[[NodeInputs], Outputs]] = {
    **dict.fromkeys(("PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean", "ComfyNumberConvert"), _bound_number),
    **dict.fromkeys(
        (
            "PrimitiveString", "PrimitiveStringMultiline", "StringConcatenate", "StringSubstring", "StringTrim",
            "JsonExtractString", "AddTextPrefix", "AddTextSuffix", "StripWhitespace", "TruncateText", "SaveText",
        ),
        _bound_passed_text,
    ),
    **dict.fromkeys(("CaseConverter", "TextToLowercase", "TextToUppercase"), _bound_recased_text),
    **dict.fromkeys(("StringReplace", "ReplaceText"), _bound_replaced_text),
    **dict.fromkeys(("TextGenerate", "TextGenerateLTX2Prompt"), _bound_generated_text),
    **dict.fromkeys(("ConvertArrayToString", "ConvertDictionaryToString"), _bound_json_dump),
    "ComfySwitchNode": _bound_either_input,
    "RegexReplace": _bound_pattern_replacement,
    "RegexExtract": _bound_found_matches,
    "StringFormat": _bound_formatted_text,
    "MergeTextLists": _bound_joined_list,
    "ComfyMathExpression": _bound_calculation,
    "GetImageSize": _bound_get_image_size_outputs,
    "StringLength": _bound_text_length,
    "ResolutionSelector": _bound_resolution,
    "LTXVDurationPredictor": _bound_duration_predictor,
    "WanCameraEmbedding": _bound_camera_text,
    "GenerateTracks": _bound_tracks_text,
    "MiniMaxMusic3TextEncode": _bound_song_text,
}  # fmt: skip
