"""The arguments of a constructor, read and changed in scikit-learn's manner: `sklearn.clone` and searches work."""

from __future__ import annotations

from typing import Any, Self

from bptt import arguments

__all__ = ["HasParams"]


class HasParams:
    """Base of what users construct, fit and clone. The constructor keeps its arguments, unchanged, in `_params`."""

    _params: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as they were passed.

        Parameters
        ----------
        deep : bool
            For scikit-learn; there are no nested parameters.
        """
        return dict(self._params)

    def set_params(self, **params: Any) -> Self:
        """Construct the object anew with some arguments changed; what it had learnt is forgotten.

        Parameters
        ----------
        **params
            Arguments of the constructor.

        Raises
        ------
        TypeError, ValueError
            An argument does not exist, or has another type or lies outside its range. Nothing was changed.
        """
        for name in params:
            if name not in self._params:
                hint = arguments.did_you_mean(name, self._params)
                raise ValueError(f"{type(self).__name__} has no argument {name!r}{hint}")
        made = type(self)(**(self._params | params))
        self.__dict__.clear()
        self.__dict__.update(made.__dict__)
        return self
