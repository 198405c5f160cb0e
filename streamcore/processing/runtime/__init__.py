"""The runtime: workers that fetch, run tasks, commit, restore and answer queries."""
