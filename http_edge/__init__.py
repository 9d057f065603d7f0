"""HTTP concerns, and the composition root."""
