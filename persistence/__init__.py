"""What is durable. Stores bytes and keys in its own frozen records; knows nothing of providers."""
