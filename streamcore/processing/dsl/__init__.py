"""The declarations of an application: topics, streams, tables, agents. A declaration runs nothing."""
