"""The aircraft of New York in 2013: departures by hour, the last position of each aircraft, the makers.

Commands name the application ``apps.fleet:app``.
"""

from apps.fleet.app import app

__all__ = ["app"]
