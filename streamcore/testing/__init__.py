"""What users need to test their own applications: a topology driver, and a disk that can crash."""
