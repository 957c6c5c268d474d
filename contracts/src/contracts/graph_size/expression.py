"""Interval arithmetic for the expressions of ``ComfyMathExpression``."""

import ast
from collections.abc import Callable, Mapping
from math import ceil, floor, inf, isfinite

MAX_CHARACTERS = 200  # usual expressions have tens; a longer one counts as unknown
Interval = tuple[float, float]
UNKNOWN: Interval = (-inf, inf)


def bound_expression(expression: str, names: Mapping[str, Interval]) -> Interval:
    """Return the minimum and maximum value of an expression; ``UNKNOWN`` if it is too complex."""
    if len(expression) > MAX_CHARACTERS:
        return UNKNOWN
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        low, high = _bound_node(tree.body, names)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return UNKNOWN
    return (low, high) if isfinite(high) else UNKNOWN


def _bound_node(node: ast.AST, names: Mapping[str, Interval]) -> Interval:
    found = UNKNOWN
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            found = float(value), float(value)
        case ast.Name(id=name):
            found = names.get(name, UNKNOWN)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            low, high = _bound_node(operand, names)
            found = -high, -low
        case ast.BinOp(left=left, op=operator, right=right):
            found = _bound_arithmetic(operator, _bound_node(left, names), _bound_node(right, names))
        case ast.IfExp(body=body, orelse=other):
            (low, high), (other_low, other_high) = _bound_node(body, names), _bound_node(other, names)
            found = min(low, other_low), max(high, other_high)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            found = _bound_call(name, [_bound_node(argument, names) for argument in arguments])
    return found


def _bound_arithmetic(operator: ast.operator, left: Interval, right: Interval) -> Interval:
    compute = _OPERATORS.get(type(operator))
    if compute is None or not all(map(isfinite, (*left, *right))):
        return UNKNOWN
    return compute(left, right)


def _bound_sum(left: Interval, right: Interval) -> Interval:
    return left[0] + right[0], left[1] + right[1]


def _bound_difference(left: Interval, right: Interval) -> Interval:
    return left[0] - right[1], left[1] - right[0]


def _bound_product(left: Interval, right: Interval) -> Interval:
    corners = [one * other for one in left for other in right]
    return min(corners), max(corners)


def _bound_quotient(left: Interval, right: Interval) -> Interval:
    if right[0] <= 0 <= right[1]:
        return UNKNOWN
    corners = [one / other for one in left for other in right]
    return min(corners), max(corners)


def _floor_divide(left: Interval, right: Interval) -> Interval:
    low, high = _bound_quotient(left, right)
    return (floor(low), floor(high)) if isfinite(high) else UNKNOWN


def _bound_remainder(_left: Interval, right: Interval) -> Interval:
    return (0.0, right[1]) if right[0] > 0 else UNKNOWN


_OPERATORS: dict[type[ast.operator], Callable[[Interval, Interval], Interval]] = {
    ast.Add: _bound_sum,
    ast.Sub: _bound_difference,
    ast.Mult: _bound_product,
    ast.Div: _bound_quotient,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _bound_remainder,
}


def _bound_call(name: str, args: list[Interval]) -> Interval:
    if not args:
        return UNKNOWN
    low, high = args[0]
    match name, len(args):
        case "min", count if count > 1:
            return min(interval[0] for interval in args), min(interval[1] for interval in args)
        case "max", count if count > 1:
            return max(interval[0] for interval in args), max(interval[1] for interval in args)
        case (("round" | "ceil" | "floor" | "int"), 1) if isfinite(low) and isfinite(high):
            return floor(low), floor(high) if name == "floor" else ceil(high)
        case "abs", 1:
            return 0.0, max(abs(low), abs(high))
    return UNKNOWN
