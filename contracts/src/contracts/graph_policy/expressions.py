"""Checks that arithmetic written by users for ComfyMathExpression has a bounded cost.

ComfyUI evaluates it with simpleeval. That library protects the process but computes integers of any size and blocks the
process meanwhile: ``pow(pow(pow(9, 4000), 4000), 4000)`` and ``round(1, -9999999999)`` never finish.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from math import inf

MAX_LENGTH = 1_000
MAX_DEPTH = 100  # of nested operations; ComfyUI's own recursion ends at some hundreds
MAX_BITS = 65_536  # of any intermediate result; the slowest operation, a division, takes some milliseconds
# ComfyMathExpression and ComfyNumberConvert output integers up to the largest float, other classes 64 bits.
VARIABLE_BITS = 1_024
MAX_VALUES = 26  # variables of a node, which are the items of ``values``
_TOKEN = re.compile(
    r"\s*(?:(?:\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+)(?![\w.])|[A-Za-z_]\w*"
    r"|\*\*|//|<=|>=|==|!=|[-+*/%(),&|^~]|<(?!<)|>(?!>))"
)
_WORDS = frozenset({"and", "or", "not", "if", "else", "True", "False", "values"})
_FUNCTIONS = frozenset(
    {
        "sum",
        "min",
        "max",
        "abs",
        "sqrt",
        "ceil",
        "floor",
        "log",
        "log2",
        "log10",
        "sin",
        "cos",
        "tan",
        "int",
        "float",
        "round",
        "pow",
    }
)


def has_bounded_cost(expression: str) -> bool:
    """Whether each operation of an expression takes at most milliseconds for any numbers that ComfyUI's nodes output.

    True only for numbers, one-letter variables, comparisons, arithmetic, the functions of the class, and ``values`` as
    their argument, if no intermediate result can have more than ``MAX_BITS``, with variables of ``VARIABLE_BITS``.
    Exponents must be literal integers. Linear in the text.
    """
    if len(expression) > MAX_LENGTH:
        return False
    tokens = list(_split_tokens(expression))
    if not tokens or "" in tokens or not all(map(_is_allowed_token, tokens)):
        return False
    try:
        statements = ast.parse(expression.strip()).body  # as simpleeval does
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(part, ast.Expr) and _bound_bits(part.value, MAX_DEPTH) <= MAX_BITS for part in statements)


def _split_tokens(expression: str) -> Iterator[str]:
    """Split into tokens. An invalid character ends the list with an empty token."""
    position, end = 0, len(expression.rstrip())
    while position < end:
        found = _TOKEN.match(expression, position, end)
        if found is None:
            yield ""
            return
        yield found.group().strip()
        position = found.end()


def _is_allowed_token(token: str) -> bool:
    if not (token[0].isalpha() or token[0] == "_"):
        return True
    return len(token) == 1 or token in _WORDS or token in _FUNCTIONS


def _bound_bits(node: ast.expr, depth: int) -> float:
    """Return an upper bound of the bits of a result; infinity if it, or a result inside it, is not bounded."""
    if depth == 0:
        return inf
    operands = [_bound_bits(operand, depth - 1) for operand in _list_operands(node)]
    if max(operands, default=0) > MAX_BITS:
        return inf
    return _bound_operation(node, operands) if operands else _bound_leaf(node)


def _bound_leaf(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int(number)):
            return number.bit_length()
        case ast.Constant(value=float()):
            return VARIABLE_BITS
        case ast.Name(id=name) if len(name) == 1:
            return VARIABLE_BITS
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]) if name in _FUNCTIONS:
            return VARIABLE_BITS + MAX_VALUES  # of ``values``
    return inf


def _bound_operation(node: ast.expr, operands: list[float]) -> float:
    bits = inf
    match node:
        case ast.BinOp(op=ast.Mult()):
            bits = sum(operands)
        case ast.BinOp(op=ast.Pow(), right=exponent):
            bits = _bound_power(max(operands), exponent)
        case ast.UnaryOp() | ast.BinOp() | ast.BoolOp() | ast.Compare() | ast.IfExp():
            bits = max(*operands, VARIABLE_BITS) + 1  # the quotient of two integers is a float
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            bits = _bound_call(name, arguments, max(operands))
    return bits


def _bound_call(name: str, arguments: list[ast.expr], longest: float) -> float:
    match name, arguments:
        case "pow", [_, exponent]:
            return _bound_power(longest, exponent)
        case ("pow", _) | ("round", [_, _, *_]):
            return inf
    return max(longest, VARIABLE_BITS) + max(len(arguments), MAX_VALUES) if name in _FUNCTIONS else inf


def _list_operands(node: ast.expr) -> Sequence[ast.expr]:
    """List the expressions whose results a node uses, except the argument ``values``."""
    match node:
        case ast.Call(args=arguments):
            return [argument for argument in arguments if not _is_list_of_values(argument)]
        case _:
            return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _is_list_of_values(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "values"


def _bound_power(base_bits: float, exponent: ast.expr) -> float:
    match exponent:
        case ast.Constant(value=int(number)) if number >= 0:
            return max(base_bits * number, VARIABLE_BITS)
    return inf
