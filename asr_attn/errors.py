"""Errors that a user can mend: each message is a sentence saying what is wrong and what to do."""

_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN on a CPU
)


class InputError(ValueError):
    """Something the user gave cannot be used; the message names it and says what to do.

    Command lines print the message alone and exit with code 2; Python callers may catch it.
    """


class InputWarning(UserWarning):
    """What was given can be used, with a limit that the message names."""


class AudioError(InputError):
    """An audio file cannot be read, or what it holds cannot be used."""


class ManifestError(InputError):
    """A manifest has faults; the message lists all of them."""


class CheckpointError(InputError):
    """A model file is missing, damaged or of another kind."""


class ConfigError(InputError):
    """A setting has an unknown key, a wrong type or a value that does not go with another."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up, of a device or of the machine.

    Told by the message, as torch raises plain RuntimeErrors; so torch need not be imported.
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
