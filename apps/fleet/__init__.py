"""The aircraft of New York in 2013: departures by the hour, the fleet's last whereabouts, the makers.

``apps.fleet:app`` is what the commands take.
"""

from apps.fleet.app import app

__all__ = ["app"]
