"""HTTP beside a running worker: queries, health, metrics, topology. ``server`` is the way in."""
