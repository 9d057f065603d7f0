"""The domain's actors: the only folder that knows runtime, adapters and persistence."""
