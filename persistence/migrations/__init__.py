"""The way from an empty database to ``persistence.schema``, forward only."""
