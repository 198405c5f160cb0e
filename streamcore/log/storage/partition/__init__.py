"""One partition: opening and recovery, appending, syncing, reading, retention."""
