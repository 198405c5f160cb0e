"""Topics: their registry, folders, settings, and how topics are created, changed and deleted."""
