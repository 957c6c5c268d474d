"""A program for the fork server that executes the Python code in its argument."""


def main(argv: list[str]) -> None:
    exec(argv[0], {})  # noqa: S102 - written in the test beside
