"""HTTP of a running worker: queries, health, metrics, topology. ``server`` starts it."""
