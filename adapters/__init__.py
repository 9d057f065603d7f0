"""What each provider means: pure values in, pure values out. See ``adapters/README.md``."""
