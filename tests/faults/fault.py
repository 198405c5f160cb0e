"""What a fault is: a change of one line of an operator, the rule that it breaks, the test that finds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to put into a copy of a module in memory.

    ``old`` is in the module exactly once; the copy has ``new`` in its place.
    """

    name: str
    breaks: str
    """The rule that does not hold any more, as in the documentation."""
    module: str
    """Relative to ``streamcore``, with slashes."""
    old: str
    new: str
    found_by: str
    """The test that fails: its file relative to ``tests``, two colons, its name with parameters if needed."""

    @property
    def module_name(self) -> str:
        return "streamcore." + self.module.removesuffix(".py").replace("/", ".")

    def put_into(self, source: str) -> str:
        """Return the text of the module with the fault.

        Raises:
            ValueError: the module does not have the text exactly once.
        """
        if source.count(self.old) != 1:
            raise ValueError(f"{self.module} has the text {source.count(self.old)} times: {self.old!r}")
        return source.replace(self.old, self.new)
