"""Calling the reference, which may panic."""


class ReferenceFailed(Exception):
    """The reference cannot load this tokenizer or gives up on this text."""


def guarded(function, *args, **kwargs):
    """function(...); its panics, which are no Exceptions, become ReferenceFailed."""
    try:
        return function(*args, **kwargs)
    except BaseException as problem:
        if isinstance(problem, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise ReferenceFailed(f"{type(problem).__name__}: {problem}") from None
