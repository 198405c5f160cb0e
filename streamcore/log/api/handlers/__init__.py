"""What each request means: decoded requests in, the broker's operations, responses out."""
