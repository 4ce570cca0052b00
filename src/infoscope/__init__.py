"""infoscope: how much information a neural network holds, where it holds it, and about what.

The questions (`difficulty`, `codelength`, `information` …) and the nouns (`Task`, `Learner`, `Measurement` …) are
imported when they are first used, so that `import infoscope` costs nothing. The stub beside this file lists them.
"""

import lazy_loader

__version__ = "0.1.0"

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __getattr__(name: str) -> object:
    try:
        return _attribute(name)
    except AttributeError as error:
        raise AttributeError(f"infoscope has no {name!r}; it has {', '.join(__all__)}") from error
