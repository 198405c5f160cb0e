"""What users declare with: applications, topics, streams, tables. Declaring runs nothing."""
