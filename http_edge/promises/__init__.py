"""What the demo promises, step by step; each step looks from outside whether its promises hold."""
